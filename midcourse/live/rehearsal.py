"""Trying schedules out on an optimizer of no importance that has the same param groups."""

import copy
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from midcourse.catalogue.schedulers import HeldOneCycleLR
from midcourse.live import groups

_COMPUTABLE = (LRScheduler.__module__, HeldOneCycleLR.__module__)
"""Where the schedulers are defined whose arithmetic is known."""

Factor = tuple[float, float]
"""A group's base before and after."""


class StandIn(Optimizer):
    """Has the param groups of another optimizer, and parameters of its own that never move."""

    def __init__(self, optimizer: Optimizer, *, momentum: bool = False) -> None:
        """Copy the groups and defaults of `optimizer`.

        Args:
            optimizer: not touched.
            momentum: whether to have a momentum in any case.
        """
        alike = [
            {**groups.options(group), "params": [torch.nn.Parameter(torch.zeros(()))]}
            for group in optimizer.param_groups
        ]
        for group in alike:
            group.pop("param_names", None)
        defaults = dict(optimizer.defaults)
        super().__init__(alike, {**defaults, "momentum": 0.9} if momentum else defaults)
        watch_steps(self)

    def step(self, closure: Any = None) -> Any:
        """Nothing."""


def watch_steps(optimizer: Optimizer) -> None:
    """Let schedulers see that the optimizer steps, whatever its class is by then.

    A torch scheduler replaces `step` on the object, to warn where the program steps scheduler and
    optimizer in the wrong order. Its replacement is tied to the class of that moment; this one
    takes its place and looks the class up.
    """
    here = weakref.ref(optimizer)

    def step(*args: Any, **kwargs: Any) -> Any:
        it: Any = here()
        it._opt_called = True
        return type(it).step(it, *args, **kwargs)

    marked: Any = step
    marked._wrapped_by_lr_sched = True
    stepping: Any = optimizer
    stepping.step = marked
    stepping._opt_called = True


def scale_groups(
    param_groups: Sequence[groups.Group], keys: Iterable[str], factors: Sequence[Factor]
) -> None:
    """Move bases that are kept in param groups, under `keys`."""
    for group, factor in zip(param_groups, factors, strict=True):
        for key in keys:
            if key in group:
                group[key] = _scaled(group[key], factor)


def scale_leaf(leaf: Any, factors: Sequence[Factor]) -> None:
    """Move the bases that a scheduler keeps itself."""
    for name in ("base_lrs", "max_lrs"):
        if (kept := getattr(leaf, name, None)) is not None:
            pairs = zip(kept, factors, strict=True)
            setattr(leaf, name, [_scaled(rate, factor) for rate, factor in pairs])


def _scaled(rate: Any, factor: Factor) -> Any:
    before, after = factor
    number = float(rate)
    # After x (number / before): what equals the base becomes the new one to the last bit.
    new = after * (number / before) if before else number
    return torch.full_like(rate, new) if isinstance(rate, torch.Tensor) else new


def rates_of(
    optimizer: Optimizer, scheduler: Any, keys: Iterable[str], factors: Sequence[Factor]
) -> list[float]:
    """The rates that a schedule would have now if it had begun with other bases.

    Takes every step of the schedule again, which costs some microseconds each.

    Args:
        optimizer: whose groups the schedule shapes; not touched.
        scheduler: of known classes; not touched.
        keys: of bases that are kept in the param groups.
        factors: of each group.

    Raises:
        ValueError: the schedule cannot be taken again, as torch says.
    """
    stand_in = StandIn(optimizer)
    scale_groups(stand_in.param_groups, keys, factors)
    for group in stand_in.param_groups:
        groups.set_number(group, "lr", float(group["initial_lr"]))
    again = _begun_again(scheduler, stand_in, factors)
    for _ in range(clock(scheduler)):
        again.step()
    return [float(group["lr"]) for group in stand_in.param_groups]


def clock(scheduler: Any) -> int:
    """How many steps of its schedule a scheduler has taken."""
    if isinstance(scheduler, torch_schedulers.ChainedScheduler):
        return clock(scheduler._schedulers[0])
    steps: int = scheduler.last_epoch
    return steps


def forward(scheduler: LRScheduler, steps: int) -> None:
    """Take a schedule that has just begun to where it is after some steps.

    A schedule of torch's is computed for the step before, and takes one. Any other takes them all.
    """
    it: Any = scheduler
    if isinstance(it, torch_schedulers.OneCycleLR):
        steps = min(steps, it.total_steps - 1)
    if steps > 1 and type(it).__module__ in _COMPUTABLE:
        if isinstance(it, torch_schedulers.CosineAnnealingWarmRestarts):
            it.T_cur = steps - 1
            while it.T_cur >= it.T_i:
                it.T_cur -= it.T_i
                it.T_i *= it.T_mult
        it.last_epoch = steps - 1
        it._step_count = steps
        if hasattr(it, "_get_closed_form_lr"):
            for group, rate in zip(
                it.optimizer.param_groups, it._get_closed_form_lr(), strict=True
            ):
                groups.set_number(group, "lr", float(rate))
        steps = 1
    for _ in range(steps):
        scheduler.step()


def _begun_again(scheduler: Any, optimizer: Optimizer, factors: Sequence[Factor]) -> Any:
    """A scheduler of the same options at its beginning, made as torch's constructors make it."""
    if isinstance(scheduler, torch_schedulers.SequentialLR):
        members = [_begun_again(it, optimizer, factors) for it in scheduler._schedulers]
        return torch_schedulers.SequentialLR(optimizer, members, list(scheduler._milestones))
    if isinstance(scheduler, torch_schedulers.ChainedScheduler):
        members = [_begun_again(it, optimizer, factors) for it in scheduler._schedulers]
        return torch_schedulers.ChainedScheduler(members, optimizer)
    twin = copy.copy(scheduler)
    twin.optimizer = optimizer
    scale_leaf(twin, factors)
    twin.last_epoch = -1
    if isinstance(twin, torch_schedulers.CosineAnnealingWarmRestarts):
        twin.T_cur, twin.T_i = -1, twin.T_0
    twin._initial_step()
    return twin
