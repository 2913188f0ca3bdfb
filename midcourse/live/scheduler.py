"""The scheduler's live parameters: what it is, and its options.

Two rules. A name begins a schedule: at this step, with its clock at 0, from the present base of
the rate, so that `optimizer.lr` stays what it is unless an option says otherwise (as does the
momentum, where the old schedule cycled it); options that are not given are kept if the name is the
present one, and are the defaults otherwise. Options without a name keep the clock: from here on,
the rate is what the schedule would give had it begun with these options.
"""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from midcourse.catalogue.schedulers import (
    EVALUATED,
    SCHEDULERS,
    Constant,
    Schedules,
    complete,
)
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.live_parameter import LiveParameter
from midcourse.errors import CheckpointUnusable
from midcourse.live import schedules, swap
from midcourse.live.declare_options import declare_options
from midcourse.live.keep import keep_optimizer, keep_scheduler
from midcourse.live.part import Changes, CheckEach, Part, Values, refuse
from midcourse.live.rehearsal import StandIn, clock, watch_steps
from midcourse.live.schedule_making import Place, rehearse
from midcourse.live.schedule_options import each, read_option
from midcourse.live.table import same

NAME = "scheduler.name"
_PREFIX = "scheduler."


class SchedulerPart(Part):
    """`scheduler.name` and `scheduler.<option>` for every option of those that it may become."""

    def __init__(self, scheduler: LRScheduler, choices: Schedules | None = None) -> None:
        """Steer a scheduler.

        Args:
            scheduler: the program's own object, which stays whatever it becomes.
            choices: what it may become. By default those of torch's that the program steps in the
                same way: with a metric if it tracks a ReduceLROnPlateau, else with nothing.
        """
        self._scheduler = scheduler
        self._registry = SCHEDULERS if choices is None else choices.registry
        self._length = None if choices is None else choices.length
        self._names = self._registry.names()
        if choices is None:
            measured = isinstance(scheduler, ReduceLROnPlateau)
            self._names = [
                name
                for name in self._names
                if name == "constant" or (name in EVALUATED) == measured
            ]
        self._options = declare_options(
            self._registry,
            self._names,
            note="Beside `scheduler.name` it belongs to the new schedule; alone it changes the "
            "present one, whose clock goes on.",
        )
        self._made: tuple[str, dict[str, Any]] | None = None
        self._made_kind: type[LRScheduler] | None = None
        self._own = (type(scheduler), vars(scheduler).copy())

    @property
    def _optimizer(self) -> Optimizer:
        return self._scheduler.optimizer

    def declarations(self) -> list[LiveParameter]:
        """The name, with what it may be, and the options."""
        choices = {"choices": list(self._names)}
        return [BUILT_IN[NAME].model_copy(update=choices), *self._options.values()]

    def read(self) -> Values:
        """The class's name and its options; null those that it does not have."""
        name = self._name()
        values: Values = {NAME: name, **dict.fromkeys(map(_PREFIX.__add__, self._options))}
        for option in self._options_of(name):
            values[_PREFIX + option] = self._read_option(option)
        return values

    def _name(self) -> str:
        if self._made is not None and type(self._scheduler) is self._made_kind:
            return self._made[0]
        return self._registry.name_of(self._scheduler) or type(self._scheduler).__name__

    def _options_of(self, name: str) -> list[str]:
        if name not in self._registry:
            return []
        return [it for it in self._registry.entry(name).options.model_fields if it in self._options]

    def _read_option(self, option: str) -> Any:
        try:
            return read_option(self._scheduler, option)
        except LookupError:
            return self._made[1].get(option) if self._made is not None else None

    def resolve(self, changes: Changes) -> Values:
        """The name, and the options as a rehearsed schedule of that name holds them."""
        name = self._target(changes)
        wanted: Values = {NAME: name} if NAME in changes else {}
        given = self._given(changes)
        faults = CheckEach()
        for option in given:
            if option not in self._options_of(name):
                known = ", ".join(self._options_of(name)) or "none"
                message = f"is not an option of the scheduler {name}; it has: {known}"
                faults.refuse(_PREFIX + option, message)
        faults.done()
        options = self._complete(name, given, anew=NAME in changes)
        stand_in = StandIn(self._optimizer)
        try:
            made = self._begun(stand_in, name, options, anew=NAME in changes)
            held = {option: self._held(made, option, options) for option in given}
            rehearse(made, stand_in, options)
        except Exception as error:  # whatever torch, or a registered function, says
            said = str(error) or type(error).__name__
            where = NAME if NAME in changes else next(iter(changes))
            raise refuse(where, f"{name} cannot be begun with these options: {said}") from error
        for option, value in given.items():
            if value is not None and not same(held[option], _as_told(options[option])):
                message = f"was to be {value}, and {name} holds {held[option]}"
                faults.refuse(_PREFIX + option, message)
            wanted[_PREFIX + option] = held[option]
        faults.done()
        return wanted

    def _target(self, changes: Changes) -> str:
        return str(changes[NAME].value) if NAME in changes else self._name()

    def _given(self, changes: Changes) -> dict[str, Any]:
        return {
            name.removeprefix(_PREFIX): change.value
            for name, change in changes.items()
            if name != NAME
        }

    def _held(self, made: LRScheduler, option: str, options: dict[str, Any]) -> Any:
        try:
            return read_option(made, option)
        except LookupError:
            return options.get(option)

    def _complete(self, name: str, given: dict[str, Any], *, anew: bool) -> dict[str, Any]:
        """All options of the schedule to come.

        Raises:
            InvalidInput: options are missing or of the wrong type.
        """
        kept = self._options_of(name) if name == self._name() else []
        options = {option: self._read_option(option) for option in kept} | given
        said = {option: value for option, value in options.items() if value is not None}
        checked, faults = self._registry.check(name, said, "scheduler")
        if faults:
            raise InvalidInput(faults)
        del checked["name"]
        bases = schedules.bases(self._optimizer, self._scheduler)
        begun = 0 if anew else clock(self._scheduler)
        length = self._length
        try:
            return complete(
                name, checked, bases=bases, length=length and (lambda: begun + length(name))
            )
        except LookupError as error:
            message = "is missing: how often the scheduler will step until the training ends"
            raise InvalidInput(
                [Fault(path=f"scheduler.{error.args[0]}", message=message)]
            ) from None

    def _begun(
        self, optimizer: Optimizer, name: str, options: dict[str, Any], *, anew: bool
    ) -> LRScheduler:
        """The schedule to come, shaping the rate of the live optimizer or of a stand-in."""
        place = Place.of(self._optimizer, self._scheduler)
        return place.begin(optimizer, lambda it: self._registry.make(name, it, **options), anew)

    def apply(self, changes: Changes) -> Values:
        """Make the schedule, and let the program's own object become it."""
        name, anew = self._target(changes), NAME in changes
        options = self._complete(name, self._given(changes), anew=anew)
        optimizer = self._optimizer
        watch_steps(optimizer)
        made = self._begun(optimizer, name, options, anew=anew)
        swap.become_scheduler(self._scheduler, made, optimizer)
        self._note((name, options))
        return {}

    def _note(self, made: tuple[str, dict[str, Any]] | None) -> None:
        self._made, self._made_kind = made, type(self._scheduler)

    def snapshot(self) -> Callable[[], None]:
        """Undo the schedule, and the rates and momenta that it has set."""
        made, made_kind = self._made, self._made_kind
        restore_optimizer = keep_optimizer(self._optimizer)
        restore_scheduler = keep_scheduler(self._scheduler)

        def restore() -> None:
            self._made, self._made_kind = made, made_kind
            restore_scheduler()
            restore_optimizer()

        return restore

    def state(self) -> Any:
        """What it was made by, if not by the program; its values are in its own state."""
        if type(self._scheduler) is Constant:  # by an override of the rate, maybe
            return {"made": ["constant", {}]}
        return {"made": None if self._made is None else list(self._made)}

    def load_state(self, state: Any) -> None:
        """Nothing more: `prepare` has made it what the state says."""

    def prepare(self, state: Any) -> None:
        """Make it of the class whose state will be loaded.

        Raises:
            CheckpointUnusable: this program cannot make that scheduler.
        """
        optimizer = self._optimizer
        if state["made"] is None:
            kind, attributes = self._own
            if self._made is None and type(self._scheduler) is kind:
                return
            self._scheduler.__class__ = kind
            vars(self._scheduler).clear()
            vars(self._scheduler).update(attributes)
            self._note(None)
            return
        name, options = state["made"]
        if name == "constant":
            made: LRScheduler = Constant(StandIn(optimizer))
        else:
            try:
                made = self._registry.make(name, StandIn(optimizer, momentum=True), **options)
            except Exception as error:  # the name is unknown here, or the groups are others
                raise CheckpointUnusable(
                    f"the checkpoint's scheduler is {name}: {error}"
                ) from error
        swap.become_scheduler(self._scheduler, made, optimizer)
        self._note((name, options))


def _as_told(value: Any) -> Any:
    return each(value) if isinstance(value, list) else value
