"""Going on with an edited model: what agrees in name and shape is kept, the rest begins anew.

Kept with a weight is what the optimizer knows of it. Everything else is taken from the checkpoint
where it fits, and otherwise stays as the program made it; the report says which.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from midcourse.checkpoints.state import pack, unpack
from midcourse.errors import CheckpointUnusable
from midcourse.fitting import (
    agrees,
    class_of,
    modules_of,
    names_in,
    shape_trouble,
    weights_in,
    without_wrapper,
)
from midcourse.live.layers import shortest
from midcourse.live.loss import LossPart
from midcourse.live.part import Values
from midcourse.live.table import LiveTable

AS_SAVED = "as in the checkpoint"
AS_MADE = "as the program made it"
_OF_GROUP = ("params", "param_names")
"""What says which weights a param group has; all else in it is a matter of how they train."""


class WarmStart:
    """One warm start: the program's objects, and a checkpoint's state of others like them."""

    def __init__(
        self, objects: Mapping[str, Any], parameters: LiveTable, state: Mapping[str, Any]
    ) -> None:
        """Nothing happens yet.

        Args:
            objects: those of the program that have a state, by name.
            parameters: of the program.
            state: as `Tracked.state` gave it.
        """
        self._objects = objects
        self._parameters = parameters
        self._saved: Mapping[str, Any] = state["objects"]
        self._saved_parameters: Mapping[str, Any] = state["parameters"]
        self._saved_weights: Mapping[str, Any] = state.get("weights", {})
        self._kept: set[str] = set()
        """Names of model entries, each behind its object's name."""
        self._report: Values = {}
        self._as_made: set[str] = set()
        """Objects that stay as the program made them."""

    def load(self) -> Values:
        """Take from the checkpoint what fits.

        Returns:
            For each object what became of it; for models the entries kept, new and dropped.

        Raises:
            CheckpointUnusable: no entry of any model agrees.
        """
        for name, module in modules_of(self._objects).items():
            self._load_module(name, module)
        if not self._kept:
            raise CheckpointUnusable(
                "nothing of the checkpoint's model agrees with the program's in name and shape, so "
                "there is nothing to start from"
            )
        for name, thing in self._objects.items():
            if isinstance(thing, Optimizer):
                self._load_optimizer(name, thing)
        for name, thing in self._objects.items():
            if name not in self._report:
                self._load_other(name, thing)
        for name in self._saved.keys() - self._objects.keys():
            self._report[name] = "dropped: the program tracks none"
        self._load_parameters()
        return dict(sorted(self._report.items()))

    # -- models -------------------------------------------------------------------------------

    def _load_module(self, name: str, module: nn.Module) -> None:
        mine = module.state_dict()
        saved = without_wrapper(self._saved.get(name, {}), mine)
        kept = [key for key in mine if key in saved and agrees(mine[key], saved[key])]
        module.load_state_dict({**mine, **{key: saved[key] for key in kept}})
        self._kept |= {f"{name}.{key}" for key in kept}
        known = list(mine | saved)
        report: Values = {
            "kept": [*shortest(kept, known)],
            "new": [*shortest(mine.keys() - kept, known)],
            "dropped": [*shortest(saved.keys() - kept, known)],
        }
        converted = [key for key in kept if mine[key].dtype != saved[key].dtype]
        if converted:
            report["converted"] = [*shortest(converted, known)]
        self._report[name] = report

    # -- optimizers and their schedules -------------------------------------------------------

    def _load_optimizer(self, name: str, optimizer: Optimizer) -> None:
        schedulers = {
            key: thing
            for key, thing in self._objects.items()
            if isinstance(thing, LRScheduler) and thing.optimizer is optimizer
        }
        parts = [part for key in (name, *schedulers) if (part := self._parameters.part(key))]
        undo = [part.snapshot() for part in parts]
        trouble = self._prepare([name]) or self._optimizer_trouble(name, optimizer)
        later = trouble or self._prepare(list(schedulers))
        later = later or self._groups_trouble(name, optimizer, schedulers)
        if later is not None:
            for restore in reversed(undo):
                restore()
            for key in schedulers:
                self._leave(key, later)
        if trouble is None and later is not None:
            # The moments are those of the checkpoint's class, be the groups the program's own.
            trouble = self._prepare([name])
        if trouble is not None:
            self._leave(name, trouble)
            return
        count = self._take_states(name, optimizer, with_groups=later is None)
        groups = AS_SAVED if later is None else f"the program's own, since {later}"
        self._report[name] = (
            f"state kept of {count} weights, begun anew of {len(weights_in(optimizer)) - count}; "
            f"param groups {groups}"
        )
        for key, scheduler in schedulers.items():
            if later is None:
                scheduler.load_state_dict(self._saved[key])
                self._report[key] = AS_SAVED

    def _prepare(self, names: Sequence[str]) -> str | None:
        """Make objects of the kinds that the checkpoint has; why not, if that cannot be done."""
        try:
            for name in names:
                if name in self._saved_parameters:
                    self._parameters.prepare({name: self._saved_parameters[name]})
        except CheckpointUnusable as error:
            return str(error)
        return None

    def _optimizer_trouble(self, name: str, optimizer: Optimizer) -> str | None:
        saved = self._saved_weights.get(name)
        if saved is None or name not in self._saved:
            return "the checkpoint has none"
        if saved["class"] != class_of(optimizer):
            return f"the checkpoint's is a {saved['class'].rpartition('.')[2]}"
        if isinstance(optimizer, LBFGS):
            return "its state is of all weights together"
        return None

    def _groups_trouble(
        self, name: str, optimizer: Optimizer, schedulers: Mapping[str, LRScheduler]
    ) -> str | None:
        """Why the groups' rates, and the schedules that shape them, cannot be the checkpoint's."""
        saved, mine = len(self._saved[name]["param_groups"]), len(optimizer.param_groups)
        if saved != mine:
            return f"the checkpoint has {saved} param groups and the program {mine}"
        for key, scheduler in schedulers.items():
            if key not in self._saved:
                return f"the checkpoint has no {key}"
            own, theirs = scheduler.state_dict(), self._saved[key]
            lengths = [len(it.get("base_lrs", ())) for it in (own, theirs)]
            if own.keys() != theirs.keys() or lengths[0] != lengths[1]:
                return f"the checkpoint's {key} is of another kind"
        scheduled = any("initial_lr" in group for group in self._saved[name]["param_groups"])
        if scheduled and not any("initial_lr" in group for group in optimizer.param_groups):
            return "the program has no schedule for the checkpoint's rates"
        return None

    def _take_states(self, name: str, optimizer: Optimizer, *, with_groups: bool) -> int:
        """Give the optimizer the states of kept weights; how many there were."""
        saved, composed = self._saved[name], optimizer.state_dict()
        numbers = {key: number for number, key in enumerate(self._saved_weights[name]["names"])}
        taken = 0
        for number, names in enumerate(names_in(optimizer, self._objects)):
            known = [key for key in names if key in self._kept and key in numbers]
            if known:
                taken += 1
                if (state := saved["state"].get(numbers[known[0]])) is not None:
                    composed["state"][number] = state
        if with_groups:
            for mine, theirs in zip(composed["param_groups"], saved["param_groups"], strict=True):
                mine.update({key: theirs[key] for key in theirs if key not in _OF_GROUP})
        optimizer.load_state_dict(composed)
        return taken

    # -- everything else ----------------------------------------------------------------------

    def _load_other(self, name: str, thing: Any) -> None:
        if name not in self._saved:
            self._leave(name, "the checkpoint has none")
            return
        part = self._parameters.part(name)
        undo = None if part is None else part.snapshot()
        mine, saved = thing.state_dict(), self._saved[name]
        before = unpack(*pack(mine))  # copies
        trouble = shape_trouble(mine, saved) or self._prepare([name])
        if trouble is None:
            try:
                thing.load_state_dict(saved)
            except Exception as error:  # whatever the object says of a state that is not its own
                trouble = str(error)
        if trouble is None:
            self._report[name] = AS_SAVED
            return
        if undo is not None:
            undo()
        thing.load_state_dict(before)
        self._leave(name, trouble)

    def _leave(self, name: str, why: str) -> None:
        self._report[name] = f"{AS_MADE}: {why}"
        self._as_made.add(name)

    def _load_parameters(self) -> None:
        """The live values of everything that was not left as the program made it."""
        states = {}
        for name, state in self._saved_parameters.items():
            if name in self._as_made:
                continue
            if name not in self._objects and (trouble := self._prepare([name])) is not None:
                self._leave(name, trouble)
                continue
            states[name] = self._fitting(name, state)
        self._parameters.load_state(states)

    def _fitting(self, name: str, state: Any) -> Any:
        if name == "model":  # a weight that begins anew is frozen only if the program says so
            frozen = {
                key: it for key, it in state["frozen"].items() if f"model.{key}" in self._kept
            }
            return {**state, "frozen": frozen}
        if isinstance(self._parameters.part(name), LossPart):
            return {**state, "first_call": None}  # the edited model may give it other shapes
        return state
