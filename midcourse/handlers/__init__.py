"""What each command does: one table from the type of an action to its handler."""

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from midcourse.contract.checkpoints import CheckpointReason, Manifest
from midcourse.contract.commands import (
    Alert,
    Cancel,
    Command,
    Fork,
    Pause,
    Reinitialise,
    Resume,
    Revert,
    SetParameters,
    Stop,
    Suspend,
    TakeCheckpoint,
    Undo,
)
from midcourse.contract.receipts import CommandState
from midcourse.errors import CommandRejected
from midcourse.handlers.branching import REVERT, UNDO
from midcourse.handlers.changing import FORK, REINITIALISE, SET
from midcourse.handlers.effect import Effect, Handler, action_of, facts
from midcourse.handlers.holding import PAUSE, RESUME, STOP, SUSPEND

if TYPE_CHECKING:
    from midcourse.engine import Engine


def _checkpoint(session: "Engine", command: Command) -> "Future[Effect]":
    action = action_of(TakeCheckpoint, command)
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


def _check_cancel(session: "Engine", command: Command) -> None:
    seq = action_of(Cancel, command).seq
    waiting = [other.seq for other in session.agenda.waiting]
    if seq not in waiting:
        known = ", ".join(map(str, waiting)) or "none"
        raise CommandRejected(f"no scheduled command {seq} waits; there are: {known}")


def _cancel(session: "Engine", command: Command) -> Effect:
    withdrawn = session.agenda.remove(action_of(Cancel, command).seq)
    if withdrawn is None:  # a redo: it was withdrawn before the crash
        return Effect()
    reason = f"withdrawn by command {command.seq} of {command.actor}"
    session.boundary.withdraw(withdrawn, CommandState.CANCELLED, reason, step=None)
    return Effect({"scheduled": str(withdrawn.at)}, {"scheduled": None})


def _alert(session: "Engine", command: Command) -> Effect:
    return Effect(records=(session.notice(action_of(Alert, command).message),))


HANDLERS: dict[type[Any], Handler] = {
    SetParameters: SET,
    Reinitialise: REINITIALISE,
    Pause: PAUSE,
    Resume: RESUME,
    Stop: STOP,
    Suspend: SUSPEND,
    TakeCheckpoint: Handler(_checkpoint),
    Revert: REVERT,
    Undo: UNDO,
    Fork: FORK,
    Cancel: Handler(_cancel, _check_cancel),
    Alert: Handler(_alert),
}
