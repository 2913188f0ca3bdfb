"""Commands that hold the run, let it go on, have it make room, or end it."""

from typing import TYPE_CHECKING

from midcourse.contract.checkpoints import CheckpointReason
from midcourse.contract.commands import Command, Resume
from midcourse.contract.runs import RunStatus
from midcourse.errors import CommandRejected
from midcourse.handlers.effect import Effect, Handler, action_of, facts

if TYPE_CHECKING:
    from midcourse.engine import Engine


def _check_pause(session: "Engine", command: Command) -> None:
    del command
    if session.status is RunStatus.PAUSED:
        raise CommandRejected("the run is paused already")


def _pause(session: "Engine", command: Command) -> Effect:
    del command
    session.agenda.pause_after = None
    return _change_status(session, RunStatus.PAUSED)


def _check_resume(session: "Engine", command: Command) -> None:
    if session.status is not RunStatus.PAUSED and action_of(Resume, command).steps is None:
        raise CommandRejected("the run is not paused")


def _resume(session: "Engine", command: Command) -> Effect:
    steps = action_of(Resume, command).steps
    until = None if steps is None else session.last_step_of_boundary + steps
    effect = _change_status(session, RunStatus.RUNNING)
    session.agenda.pause_at(until)
    after = effect.after if until is None else {**effect.after, "pause_after_step": until}
    return Effect(effect.before, after)


def _change_status(session: "Engine", status: RunStatus) -> Effect:
    before = session.status
    if status is not before:
        session.change_status(status)
    return Effect({"status": before.value}, {"status": session.status.value})


def _stop(session: "Engine", command: Command) -> Effect:
    del command
    before = session.status
    manifest = session.take_checkpoint(CheckpointReason.END).result()
    session.end(RunStatus.STOPPED)
    return Effect({"status": before.value}, {"status": session.status.value, **facts(manifest)})


def _suspend(session: "Engine", command: Command) -> Effect:
    del command
    before = session.status
    manifest = session.take_checkpoint(CheckpointReason.SUSPENDED).result()
    session.branch.writer.drain()  # the receipt is the last that the log hears of this attempt
    session.end(RunStatus.SUSPENDED)
    after = {"status": session.status.value, **facts(manifest)}
    # In one write with the receipt: whoever reads that it acted reads that the run is suspended.
    return Effect({"status": before.value}, after, records=(session.status_record(),))


def _come_back(session: "Engine", command: Command) -> Effect:
    """It has been suspended, and is back: a run that was paused then is so no longer."""
    del command
    if session.position not in session.branch.journal.outcomes:
        raise CommandRejected(KILLED_ON_ITS_WAY)
    return _change_status(session, RunStatus.RUNNING)


KILLED_ON_ITS_WAY = "the process was killed before it had made room"

PAUSE = Handler(_pause, _check_pause)
RESUME = Handler(_resume, _check_resume)
STOP = Handler(_stop)
SUSPEND = Handler(_suspend, redo=_come_back)
