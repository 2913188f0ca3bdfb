"""What a session tracks, as one state: objects, live parameters, data cursor, random generators."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from midcourse.checkpoints.state import pack, unpack
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.parameters import BUILT_IN
from midcourse.data import Cursor
from midcourse.errors import CheckpointUnusable
from midcourse.live.attribute import Attribute
from midcourse.live.model import Dropout, dropout_layers
from midcourse.live.optimizer import optimizer_bindings
from midcourse.live.table import LiveTable
from midcourse.rng import load_rng_state, rng_state


class Tracked:
    """Everything that determines the steps to come. Equal states train to equal bits."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.parameters = LiveTable()
        self.cursor = Cursor()

    def add(self, objects: Mapping[str, Any]) -> None:
        """Track objects by name; those with a known name bring built-in live parameters.

        Raises:
            InvalidInput: a name is taken, or an object has no state to keep.
        """
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
            for binding in optimizer_bindings(optimizer, lambda: self.objects.get("scheduler")):
                self.parameters.add(binding, check=False)
        model = objects.get("model")
        if isinstance(model, nn.Module) and dropout_layers(model):
            self.parameters.add(Dropout(model), check=False)
        if hasattr(objects.get("loss"), "label_smoothing"):
            row = BUILT_IN["loss.label_smoothing"]
            self.parameters.add(Attribute(row, objects["loss"], "label_smoothing"), check=False)

    def _stateful(self) -> dict[str, Any]:
        return {name: thing for name, thing in self.objects.items() if hasattr(thing, "state_dict")}

    def state(self, next_step: int) -> dict[str, Any]:
        """The state as it is now; its tensors are the live ones, not copies."""
        return {
            "next_step": next_step,
            "objects": {name: thing.state_dict() for name, thing in self._stateful().items()},
            "parameters": self.parameters.state(),
            "cursor": {"epoch": self.cursor.epoch, "samples": self.cursor.samples},
            "rng": rng_state(),
        }

    def load(self, state: Mapping[str, Any]) -> int:
        """Put everything tracked into a saved state.

        Returns:
            The next step.

        Raises:
            CheckpointUnusable: the state does not fit the program's objects.
        """
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
        self.cursor.epoch = state["cursor"]["epoch"]
        self.cursor.samples = state["cursor"]["samples"]
        load_rng_state(state["rng"])
        next_step: int = state["next_step"]
        return next_step

    def backup(self, next_step: int) -> Callable[[], None]:
        """A function that puts everything tracked back to how it is now."""
        plain, tensors = pack(self.state(next_step))
        copies = {name: tensor.clone() for name, tensor in tensors.items()}

        def restore() -> None:
            self.load(unpack(plain, copies))

        return restore


def _listed(objects: Mapping[str, Any]) -> str:
    return ", ".join(sorted(objects)) or "nothing"
