"""A part of the run that holds live parameters: the optimizer, the model, the data, a program's."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import JsonValue

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.live_parameter import Change, LiveParameter

Values = dict[str, JsonValue]
Changes = Mapping[str, Change]


class Part(ABC):
    """Some live parameters and the objects that hold them.

    Called on the training thread, at step boundaries only. Parameters that depend on one another
    (an optimizer's class and its betas) belong to one part.
    """

    @abstractmethod
    def declarations(self) -> list[LiveParameter]:
        """What may be changed here."""

    @abstractmethod
    def read(self) -> Values:
        """Every declared parameter, as the live objects hold it for the next step."""

    @abstractmethod
    def resolve(self, changes: Changes) -> Values:
        """What `read` must give for these names once the changes have been applied.

        Raises:
            InvalidInput: with a fault for each change that type and bounds let through and that
                the live objects cannot take.
        """

    def check_beside(self, changes: Changes, others: Collection[str]) -> None:  # noqa: B027
        """Refuse what does not go together with changes of other parts in the same command.

        Args:
            changes: of this part.
            others: the names of those of other parts.

        Raises:
            InvalidInput: with a fault for each change that cannot be combined so.
        """

    @abstractmethod
    def apply(self, changes: Changes) -> Values:
        """Apply what `resolve` accepted. May raise; `snapshot` then undoes what was half done.

        Returns:
            What a receipt should tell beside the values; mostly nothing.
        """

    @abstractmethod
    def snapshot(self) -> Callable[[], None]:
        """A function that puts everything `apply` may touch back to how it is now, to the bit."""

    @abstractmethod
    def state(self) -> Any:
        """What a checkpoint must keep, beyond what the tracked objects' own states hold."""

    @abstractmethod
    def load_state(self, state: Any) -> None:
        """The inverse of `state`. The tracked objects' own states are loaded by now."""

    def prepare(self, state: Any) -> None:  # noqa: B027  # most parts have nothing to prepare
        """Make the objects of the kind that `state` is of, before their own states are loaded."""


def refuse(name: str, message: str, allowed: JsonValue = None) -> InvalidInput:
    """The error of one change that cannot be taken."""
    return InvalidInput([Fault(path=name, message=message, allowed=allowed)])


class CheckEach:
    """Gathers the faults of several changes, so that all are told at once."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def refuse(self, name: str, message: str, allowed: JsonValue = None) -> None:
        """Note a fault."""
        self._faults.append(Fault(path=name, message=message, allowed=allowed))

    def done(self) -> None:
        """Raise if there were faults.

        Raises:
            InvalidInput: with all of them.
        """
        if self._faults:
            raise InvalidInput(self._faults)
