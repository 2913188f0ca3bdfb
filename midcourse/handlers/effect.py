"""What carrying out a command comes to, and how each kind of command is carried out."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from midcourse.contract.base import Record
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.commands import Command

if TYPE_CHECKING:
    from midcourse.engine import Engine

_A = TypeVar("_A", bound=Record)


@dataclass(frozen=True)
class Effect:
    """What acting did, as read back from live objects afterwards."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    """What else is to be logged, in one write with the receipt."""
    then: Callable[[], None] | None = None
    """To be done once the receipt is written."""


def check_nothing(session: "Engine", command: Command) -> None:
    """For commands that are always acceptable."""
    del session, command


def preview_nothing(session: "Engine", command: Command) -> Effect:
    """For commands whose effect needs no telling."""
    del session, command
    return Effect()


Act = Callable[["Engine", Command], "Effect | Future[Effect]"]


@dataclass(frozen=True)
class Handler:
    """How one kind of action is checked and carried out."""

    act: Act
    """Changes the run, or raises and leaves it as it was."""
    check: Callable[["Engine", Command], None] = check_nothing
    """Refuses what is not acceptable now, and changes nothing."""
    preview: Callable[["Engine", Command], Effect] = preview_nothing
    """What `act` would do, of a command that `check` has passed; changes nothing."""
    redo: Act | None = None
    """What a restarted trainer does where the command acted, if not the same again."""


def action_of(kind: type[_A], command: Command) -> _A:
    """The command's action, which the table of handlers has chosen the handler by."""
    assert isinstance(command.action, kind)
    return command.action


def facts(manifest: Manifest) -> dict[str, Any]:
    """What a receipt tells of a checkpoint."""
    record = manifest.checkpoint
    return {"checkpoint": record.name, "step": record.step, "state_hash": record.state_hash}
