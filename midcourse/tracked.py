"""What a session tracks, as one state: objects, live parameters, data cursor, random generators."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from midcourse.catalogue.losses import LOSSES
from midcourse.catalogue.registry import Registry
from midcourse.catalogue.schedulers import Schedules
from midcourse.checkpoints.state import pack, unpack
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.data import Cursor
from midcourse.errors import CheckpointUnusable
from midcourse.fitting import weight_names
from midcourse.live.loss import loss_part
from midcourse.live.model import ModelPart
from midcourse.live.optimizer import OptimizerPart
from midcourse.live.part import Values
from midcourse.live.scheduler import SchedulerPart
from midcourse.live.table import LiveTable
from midcourse.own_commands import Source
from midcourse.rng import load_rng_state, rng_state
from midcourse.warm_start import WarmStart


class Tracked:
    """Everything that determines the steps to come. Equal states train to equal bits."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.parameters = LiveTable()
        self.cursor = Cursor()
        self.source: Source | None = None
        """Where the run's own commands come from: what it has seen decides steps to come."""

    @property
    def model(self) -> nn.Module | None:
        """The tracked model, if there is one."""
        found = self.objects.get("model")
        return found if isinstance(found, nn.Module) else None

    @property
    def optimizer(self) -> Optimizer | None:
        """The tracked optimizer, if there is one."""
        found = self.objects.get("optimizer")
        return found if isinstance(found, Optimizer) else None

    def add(
        self,
        objects: Mapping[str, Any],
        choices: Mapping[str, Registry[Any] | Schedules] | None = None,
    ) -> None:
        """Track objects by name; those with a known name bring built-in live parameters.

        Args:
            objects: by name.
            choices: by the name of an object what it may be swapped for; by default torch's own.

        Raises:
            InvalidInput: a name is taken, or an object has no state to keep.
        """
        choices = choices or {}
        for name, thing in objects.items():
            if name in self.objects:
                raise InvalidInput([Fault(path=name, message="is tracked already")])
            if not hasattr(thing, "state_dict") and name != "loss":
                raise InvalidInput(
                    [Fault(path=name, message=f"a {type(thing).__name__} has no state_dict()")]
                )
        self.objects |= objects
        # The bounds are for changes: what the program made is right as it is, be it an odd value
        # such as the rate 0 that a warm-up begins with.
        optimizer = self.objects.get("optimizer")
        if "optimizer" in objects and isinstance(optimizer, Optimizer):
            optimizers: Any = choices.get("optimizer")
            steered = OptimizerPart(optimizer, lambda: self.objects.get("scheduler"), optimizers)
            self.parameters.add("optimizer", steered, check=False)
        scheduler = objects.get("scheduler")
        if isinstance(scheduler, LRScheduler):
            schedules = choices.get("scheduler")
            if isinstance(schedules, Registry):
                schedules = Schedules(schedules)
            self.parameters.add("scheduler", SchedulerPart(scheduler, schedules), check=False)
        model = objects.get("model")
        if isinstance(model, nn.Module):
            steerable = ModelPart(model, self._optimizers)
            self.parameters.add("model", steerable, check=False)
        if "loss" in objects:
            losses = choices.get("loss")
            registries = {"choices": losses} if isinstance(losses, Registry) else {}
            of_loss = loss_part(objects["loss"], lambda: self.model, {**registries, **LOSSES})
            if of_loss is not None:
                self.parameters.add("loss", of_loss, check=False)

    def _optimizers(self) -> list[Optimizer]:
        return [thing for thing in self.objects.values() if isinstance(thing, Optimizer)]

    def _stateful(self) -> dict[str, Any]:
        return {name: thing for name, thing in self.objects.items() if hasattr(thing, "state_dict")}

    def state(self, next_step: int) -> dict[str, Any]:
        """The state as it is now; its tensors are the live ones, not copies."""
        return {
            "next_step": next_step,
            "objects": {name: thing.state_dict() for name, thing in self._stateful().items()},
            "weights": weight_names(self.objects),
            "parameters": self.parameters.state(),
            "cursor": {"epoch": self.cursor.epoch, "samples": self.cursor.samples},
            "rng": rng_state(),
            "source": {} if self.source is None else self.source.state_dict(),
        }

    def load(self, state: Mapping[str, Any], *, warm: bool = False) -> tuple[int, Values]:
        """Put everything tracked into a saved state.

        Args:
            state: as `state` gave it.
            warm: the model was edited: keep what agrees in name and shape.

        Returns:
            The next step; and, of a warm start, what was kept and what is new.

        Raises:
            CheckpointUnusable: the state does not fit the program's objects.
        """
        report: Values = {}
        if warm:
            report = WarmStart(self._stateful(), self.parameters, state).load()
        else:
            self._load_objects(state)
        self.cursor.epoch = state["cursor"]["epoch"]
        self.cursor.samples = state["cursor"]["samples"]
        load_rng_state(state["rng"])
        if self.source is not None:
            self.source.load_state_dict(state.get("source") or {})
        next_step: int = state["next_step"]
        return next_step, report

    def _load_objects(self, state: Mapping[str, Any]) -> None:
        self.parameters.prepare(state["parameters"])
        mine, saved = self._stateful(), state["objects"]
        if mine.keys() != saved.keys():
            raise CheckpointUnusable(
                f"the checkpoint holds {_listed(saved)}, the program tracks {_listed(mine)}"
            )
        for name, thing in mine.items():
            try:
                thing.load_state_dict(saved[name])
            except Exception as error:  # whatever the object says of a state that is not its own
                raise CheckpointUnusable(
                    f"the checkpoint's {name} does not fit the program's: {error}"
                ) from error
        self.parameters.load_state(state["parameters"])

    def backup(self, next_step: int) -> Callable[[], None]:
        """A function that puts everything tracked back to how it is now."""
        plain, tensors = pack(self.state(next_step))
        copies = {name: tensor.clone() for name, tensor in tensors.items()}

        def restore() -> None:
            self.load(unpack(plain, copies))

        return restore


def _listed(objects: Mapping[str, Any]) -> str:
    return ", ".join(sorted(objects)) or "nothing"
