"""Commands that go back: the run ends as superseded, and a child goes on in its process."""

from typing import TYPE_CHECKING, Any

from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.commands import Command, Revert, Undo
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.errors import CommandRejected
from midcourse.handlers.effect import Effect, Handler, action_of, facts
from midcourse.restore import Return, as_it_was
from midcourse.succession import superseded_record
from midcourse.undo import undo_point

if TYPE_CHECKING:
    from midcourse.engine import Engine


def _revert_to(session: "Engine", command: Command) -> Return:
    action = action_of(Revert, command)
    store = session.branch.find_checkpoint(action.checkpoint)
    return Return(store, action.checkpoint, action.child, action.changes, command.actor)


def _undo_to(session: "Engine", command: Command) -> Return:
    store, checkpoint = undo_point(session.branch)
    return Return(store, checkpoint, action_of(Undo, command).child, {}, command.actor)


def _check_revert(session: "Engine", command: Command) -> None:
    session.branch.writer.drain()  # the checkpoint may be on its way to the disk
    _check(session, _revert_to(session, command))


def _check_undo(session: "Engine", command: Command) -> None:
    session.branch.writer.drain()
    _check(session, _undo_to(session, command))


def _check(session: "Engine", back: Return) -> None:
    if back.child == session.id:
        raise CommandRejected(f"{back.child} is this run; its child needs an id of its own")
    if RunPaths(session.paths.home, back.child).run_file.exists():
        raise CommandRejected(f"there is a run {back.child} already; the child needs a new id")
    with as_it_was(session, back):
        session.parameters.check(back.changes)


def _revert(session: "Engine", command: Command) -> Effect:
    session.branch.writer.drain()  # a redo, too, needs the checkpoint on the disk
    return _go_back(session, _revert_to(session, command))


def _undo(session: "Engine", command: Command) -> Effect:
    session.branch.writer.drain()
    return _go_back(session, _undo_to(session, command))


def _go_back(session: "Engine", back: Return) -> Effect:
    reached = session.last_step_of_boundary
    before = {"run": session.id, "step": reached}
    manifest, then = session.revert_to(back)
    session.boundary.withdraw_waiting(
        CommandState.SUPERSEDED,
        f"the run went back to {back.checkpoint} before it could act",
        reached,
    )
    end = superseded_record(reached, back.checkpoint)
    details = {"checkpoint_run": manifest.checkpoint.run}
    return Effect(before, {"run": back.child, **facts(manifest)}, details, (end,), then)


def _preview_revert(session: "Engine", command: Command) -> Effect:
    return _preview(session, _revert_to(session, command))


def _preview_undo(session: "Engine", command: Command) -> Effect:
    return _preview(session, _undo_to(session, command))


def _preview(session: "Engine", back: Return) -> Effect:
    before = {"run": session.id, "step": session.last_step_of_boundary}
    with as_it_was(session, back):
        session.parameters.try_out(session.parameters.check(back.changes))
    return Effect(before, _facts(back.store, back.checkpoint))


def _facts(store: CheckpointStore, checkpoint: str) -> dict[str, Any]:
    return facts(store.manifest(checkpoint))


REVERT = Handler(_revert, _check_revert, _preview_revert)
UNDO = Handler(_undo, _check_undo, _preview_undo)
