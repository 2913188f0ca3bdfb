"""What each command does: one table from the type of an action to its handler.

`check` refuses what is not acceptable now and changes nothing. `act` changes the run, or raises and
leaves it as it was. What it returns was read back from live objects after acting.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from midcourse.contract.base import Record, Scalar
from midcourse.contract.checkpoints import CheckpointReason, Manifest
from midcourse.contract.commands import (
    Command,
    Pause,
    Resume,
    Revert,
    SetParameters,
    Stop,
    TakeCheckpoint,
)
from midcourse.contract.runs import RunStatus
from midcourse.errors import CommandRejected
from midcourse.succession import superseded_record

if TYPE_CHECKING:
    from midcourse.session import Session


_A = TypeVar("_A", bound=Record)


@dataclass(frozen=True)
class Effect:
    """What acting did."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    """What else is to be logged, in one write with the receipt."""
    then: Callable[[], None] | None = None
    """To be done once the receipt is written."""


@dataclass(frozen=True)
class Handler:
    """How one kind of action is checked and carried out."""

    check: Callable[["Session", Command], None]
    act: Callable[["Session", Command], "Effect | Future[Effect]"]


def _check_set(session: "Session", command: Command) -> None:
    session.parameters.check(_the(SetParameters, command).changes)


def _set(session: "Session", command: Command) -> Effect:
    changes: dict[str, Scalar] = session.parameters.check(_the(SetParameters, command).changes)
    before, after = session.parameters.apply(changes)
    session.edits += 1
    return Effect(dict(before), dict(after))


def _check_pause(session: "Session", command: Command) -> None:
    del command
    if session.status is RunStatus.PAUSED:
        raise CommandRejected("the run is paused already")


def _pause(session: "Session", command: Command) -> Effect:
    del command
    return _change_status(session, RunStatus.PAUSED)


def _check_resume(session: "Session", command: Command) -> None:
    del command
    if session.status is not RunStatus.PAUSED:
        raise CommandRejected("the run is not paused")


def _resume(session: "Session", command: Command) -> Effect:
    del command
    return _change_status(session, RunStatus.RUNNING)


def _change_status(session: "Session", status: RunStatus) -> Effect:
    before = session.status
    session.change_status(status)
    return Effect({"status": before.value}, {"status": session.status.value})


def _check_nothing(session: "Session", command: Command) -> None:
    del session, command


def _stop(session: "Session", command: Command) -> Effect:
    del command
    before = session.status
    manifest = session.take_checkpoint(CheckpointReason.END).result()
    session.end(RunStatus.STOPPED)
    return Effect({"status": before.value}, {"status": session.status.value, **facts(manifest)})


def _checkpoint(session: "Session", command: Command) -> "Future[Effect]":
    action = _the(TakeCheckpoint, command)
    effect: Future[Effect] = Future()

    def written(promise: "Future[Manifest]") -> None:
        error = promise.exception()
        try:
            if error is not None:
                raise error
            manifest = promise.result()
            if action.pin:
                session.pin_checkpoint(manifest.checkpoint.name)
            effect.set_result(Effect({}, facts(manifest)))
        except BaseException as problem:
            effect.set_exception(problem)

    session.take_checkpoint(CheckpointReason.COMMAND).add_done_callback(written)
    return effect


def _check_revert(session: "Session", command: Command) -> None:
    action = _the(Revert, command)
    if action.child == session.id:
        raise CommandRejected(f"{action.child} is this run; its child needs an id of its own")
    session.branch.writer.drain()  # the checkpoint may be on its way to the disk
    session.branch.find_checkpoint(action.checkpoint).load(action.checkpoint)
    session.parameters.check(action.changes)


def _revert(session: "Session", command: Command) -> Effect:
    action = _the(Revert, command)
    session.branch.writer.drain()  # a redo, too, needs the checkpoint on the disk
    before = {"run": session.id, "step": session.last_step_of_boundary}
    reached = session.last_step_of_boundary
    manifest, then = session.revert_to(action, command.actor)
    end = superseded_record(reached, action.checkpoint)
    return Effect(before, {"run": action.child, **facts(manifest)}, (end,), then)


def _the(kind: type[_A], command: Command) -> _A:
    """The command's action, which the table below has chosen the handler by."""
    assert isinstance(command.action, kind)
    return command.action


def facts(manifest: Manifest) -> dict[str, Any]:
    """What a receipt tells of a checkpoint."""
    record = manifest.checkpoint
    return {"checkpoint": record.name, "step": record.step, "state_hash": record.state_hash}


HANDLERS: dict[type[Any], Handler] = {
    SetParameters: Handler(_check_set, _set),
    Pause: Handler(_check_pause, _pause),
    Resume: Handler(_check_resume, _resume),
    Stop: Handler(_check_nothing, _stop),
    TakeCheckpoint: Handler(_check_nothing, _checkpoint),
    Revert: Handler(_check_revert, _revert),
}
