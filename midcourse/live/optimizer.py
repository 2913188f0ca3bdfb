"""The optimizer's live parameters: what it is, and its rate, momentum, betas and weight decay."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from midcourse.catalogue.optimizers import OPTIMIZERS
from midcourse.catalogue.registry import Registry
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.live_parameter import Change, LiveParameter
from midcourse.errors import CheckpointUnusable
from midcourse.live import carry, groups, momentum_cycle, optimizer_traits, schedules, swap
from midcourse.live.keep import keep_optimizer, keep_scheduler
from midcourse.live.part import Changes, CheckEach, Part, Values

NAME, LR = "optimizer.name", "optimizer.lr"
MOMENTUM, BETAS = "optimizer.momentum", "optimizer.betas"
WEIGHT_DECAY = "optimizer.weight_decay"

_HOLDERS = {LR: ("lr",), MOMENTUM: ("momentum", "betas"), BETAS: ("betas",)}
_HOLDERS[WEIGHT_DECAY] = ("weight_decay",)
"""The options of the param groups, any of which holds a parameter."""


class OptimizerPart(Part):
    """`optimizer.*`. All are declared, since a swap may bring those that are lacking now."""

    def __init__(
        self,
        optimizer: Optimizer,
        find_scheduler: Callable[[], Any],
        registry: Registry[Optimizer] | None = None,
    ) -> None:
        """Steer an optimizer.

        Args:
            optimizer: the program's own object, which stays whatever it becomes.
            find_scheduler: the scheduler that shapes its rate, which may be tracked later; or None.
            registry: what it may become; torch's optimizers by default.
        """
        self._optimizer = optimizer
        self._find_scheduler = find_scheduler
        self._registry = OPTIMIZERS if registry is None else registry
        self._made: str | None = None
        self._made_kind: type[Optimizer] | None = None
        self._own = (type(optimizer), swap.belongings(optimizer))

    def declarations(self) -> list[LiveParameter]:
        """The five, the name with what it may be."""
        choices = {"choices": self._registry.names()}
        return [BUILT_IN[NAME].model_copy(update=choices), *(BUILT_IN[it] for it in _HOLDERS)]

    def read(self) -> Values:
        """The class's name, and of the first group the others; null what this optimizer lacks."""
        optimizer, scheduler = self._optimizer, self._find_scheduler()
        values: Values = {NAME: self._name(), **dict.fromkeys(_HOLDERS)}
        if groups.all_have(optimizer, "lr"):
            values[LR] = schedules.base(optimizer, scheduler)
        if groups.all_have(optimizer, "momentum", "betas"):
            values[MOMENTUM] = momentum_cycle.upper_levels(optimizer, scheduler)[0]
        if groups.all_have(optimizer, "betas"):
            first, *others = optimizer.param_groups[0]["betas"]
            if momentum_cycle.cycling(scheduler):
                first = momentum_cycle.upper_levels(optimizer, scheduler)[0]
            values[BETAS] = [float(first), *map(float, others)]
        if groups.all_have(optimizer, "weight_decay"):
            values[WEIGHT_DECAY] = groups.weight_decay(optimizer)
        return values

    def _name(self) -> str:
        if self._made is not None and type(self._optimizer) is self._made_kind:
            return self._made
        return self._registry.name_of(self._optimizer) or type(self._optimizer).__name__

    def resolve(self, changes: Changes) -> Values:
        """The values themselves, but for a rate that is to be scaled."""
        faults = CheckEach()
        wanted = {name: change.value for name, change in changes.items()}
        optimizer = self._optimizer
        if NAME in changes:
            try:
                optimizer = self._successor(changes[NAME])
            except ValueError as error:
                faults.refuse(NAME, str(error))
                faults.done()
        for name in (name for name in _HOLDERS if name in changes):
            try:
                self._check_held(name, optimizer)
                if name == LR:
                    optimizer_traits.check_rate_is_read(optimizer)
                    wanted[LR] = self._new_base(changes[LR])
                elif name == BETAS:
                    self._check_betas(changes, optimizer)
                elif name == MOMENTUM:
                    self._check_momentum(changes[MOMENTUM].value, optimizer)
            except ValueError as error:
                faults.refuse(name, str(error))
        faults.done()
        return wanted

    def _successor(self, change: Change) -> Optimizer:
        """The newly made optimizer that the present one is to become.

        Raises:
            ValueError: it cannot become that; says why.
        """
        name: Any = change.value
        made = swap.fresh_optimizer(self._optimizer, self._registry, name)
        if change.ways["state"] == "carry":
            carry.check(self._optimizer, made)
        cycling = momentum_cycle.cycling(self._find_scheduler())
        if cycling and not groups.all_have(made, "momentum", "betas"):
            raise ValueError(
                f"cannot become {name}, which has no momentum, while {type(cycling[0]).__name__} "
                "cycles the momentum; swap the schedule first, by scheduler.name"
            )
        return made

    def _check_held(self, name: str, optimizer: Optimizer) -> None:
        options = _HOLDERS[name]
        if groups.all_have(optimizer, *options):
            return
        kind = self._registry.name_of(optimizer) or type(optimizer).__name__
        having = sorted({it for option in options for it in self._registry.having(option)})
        raise ValueError(
            f"is no option of the optimizer {kind}; of those that optimizer.name can swap to, "
            f"these have it: {', '.join(having) or 'none'}"
        )

    def _new_base(self, change: Change) -> float:
        value: Any = change.value
        optimizer, scheduler = self._optimizer, self._find_scheduler()
        mode = change.ways["mode"]
        if mode == "scale":
            base = schedules.base(optimizer, scheduler)
            if base == 0 or not math.isfinite(value * base) or value * base == 0:
                raise ValueError(f"cannot scale the base {base:g} by {value:g}: that is no rate")
            value *= base
        if mode == "override":
            swap.check_endable(scheduler)
        else:
            schedules.moved_rates(optimizer, scheduler, value)
        return float(value)

    def _check_momentum(self, value: Any, optimizer: Optimizer) -> None:
        optimizer_traits.check_momentum(optimizer, value)
        momentum_cycle.check(self._optimizer, self._find_scheduler(), value)

    def _check_betas(self, changes: Changes, optimizer: Optimizer) -> None:
        betas: Any = changes[BETAS].value
        held = len(optimizer.param_groups[0]["betas"])
        if held != len(betas):
            raise ValueError(f"must be {held} numbers for this optimizer, which cannot be set here")
        if MOMENTUM in changes and changes[MOMENTUM].value != betas[0]:
            raise ValueError(
                "and optimizer.momentum disagree: the momentum of this optimizer is the first of "
                "its betas; give one of them"
            )
        momentum_cycle.check(self._optimizer, self._find_scheduler(), betas[0])

    def apply(self, changes: Changes) -> Values:
        """Swap first, so that the other values are the new optimizer's."""
        details: Values = {}
        if NAME in changes:
            details["optimizer.state"] = self._swap(changes[NAME])
        optimizer, scheduler = self._optimizer, self._find_scheduler()
        if LR in changes:
            self._set_rate(changes[LR])
        if BETAS in changes:
            betas: Any = changes[BETAS].value
            for group in optimizer.param_groups:
                group["betas"] = (group["betas"][0], *betas[1:])
            momentum_cycle.move(optimizer, scheduler, betas[0])
        if MOMENTUM in changes:
            value: Any = changes[MOMENTUM].value
            momentum_cycle.move(optimizer, scheduler, value)
            if value != 0:
                optimizer_traits.make_momentum_buffers(optimizer)
        if WEIGHT_DECAY in changes:
            decay: Any = changes[WEIGHT_DECAY].value
            groups.set_weight_decay(optimizer, decay)
        return details

    def _swap(self, change: Change) -> str:
        made = self._successor(change)
        carried = carry.carry(self._optimizer, made) if change.ways["state"] == "carry" else None
        scheduler = self._find_scheduler()
        if momentum_cycle.cycling(scheduler):
            for old, new in zip(self._optimizer.param_groups, made.param_groups, strict=True):
                groups.set_momentum(new, groups.momentum(old))
        swap.become_optimizer(self._optimizer, made)
        momentum_cycle.follow(self._optimizer, scheduler)
        self._remember(str(change.value))
        if carried is None:
            return "reset"
        return f"carried: {', '.join(carried) or 'nothing, as there was none yet'}"

    def _remember(self, made: str | None) -> None:
        self._made, self._made_kind = made, type(self._optimizer)

    def _set_rate(self, change: Change) -> None:
        optimizer, scheduler = self._optimizer, self._find_scheduler()
        value = self._new_base(change)
        if change.ways["mode"] == "override" and scheduler is not None:
            rates = groups.in_ratio(schedules.bases(optimizer, scheduler), value)
            swap.end_schedule(optimizer, scheduler, rates)
        else:
            schedules.rebase(optimizer, scheduler, value)

    def snapshot(self) -> Callable[[], None]:
        """Undo optimizer and schedule, which an edit of either may touch."""
        made, made_kind = self._made, self._made_kind
        restore_optimizer = keep_optimizer(self._optimizer)
        restore_scheduler = keep_scheduler(self._find_scheduler())

        def restore() -> None:
            self._made, self._made_kind = made, made_kind
            restore_optimizer()
            restore_scheduler()

        return restore

    def state(self) -> dict[str, str | None]:
        """What the optimizer was made by; its values are in its own state."""
        return {"made": self._made}

    def load_state(self, state: dict[str, str | None]) -> None:
        """Nothing more: `prepare` has made it what the state says."""

    def prepare(self, state: dict[str, str | None]) -> None:
        """Make it of the class whose state will be loaded.

        Raises:
            CheckpointUnusable: this program cannot make that optimizer.
        """
        made = state["made"]
        if made == self._made:
            return
        if made is None:
            swap.give_back(self._optimizer, *self._own)
        else:
            try:
                fresh = swap.fresh_optimizer(self._optimizer, self._registry, made)
            except ValueError as error:
                raise CheckpointUnusable(
                    f"the checkpoint's optimizer is {made}: {error}"
                ) from error
            swap.become_optimizer(self._optimizer, fresh)
        self._remember(made)
