"""The tie between a live parameter and the object that holds its value."""

from collections.abc import Callable
from typing import Any, Protocol

from midcourse.contract.base import Scalar
from midcourse.contract.parameters import LiveParameter


class Binding(Protocol):
    """One live parameter of one run. Called on the training thread, at step boundaries only."""

    declaration: LiveParameter

    def read(self) -> Scalar | None:
        """The value that the next step would use, read from the live object."""

    def check(self, value: Scalar) -> None:
        """Refuse what type and bounds cannot: ValueError, in one sentence."""

    def apply(self, value: Scalar) -> None:
        """Set it. May raise; `snapshot` then undoes what was half done."""

    def snapshot(self) -> Callable[[], None]:
        """A function that puts everything `apply` may touch back to how it is now."""

    def state(self) -> Any:
        """What a checkpoint must keep, beyond what the tracked objects' own states hold."""

    def load_state(self, state: Any) -> None:
        """The inverse of `state`."""
