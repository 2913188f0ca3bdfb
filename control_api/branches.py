"""Forks and reverts: new runs that start from a checkpoint of another."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.bell import RECONCILER
from control_api.database import Database, ring_after
from control_api.lifecycle import (
    Requester,
    accept_command,
    await_revert,
    get_run,
    record,
    require_not_ended,
)
from control_api.live import check_live
from control_api.pins import pinned
from control_api.tables import CheckpointRow, CommandRow, RunRow
from midcourse.contract.api import ForkRun, RevertRun
from midcourse.contract.base import Scalar, utc_now
from midcourse.contract.commands import Revert, TakeCheckpoint
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import new_run_id
from midcourse.contract.runs import ENDED, Origin, RunStatus

NOW = "now"


def checkpoints_of(session: Session, run_id: str) -> list[CheckpointRow]:
    """The checkpoints that a run has on disk, in order of their steps."""
    return list(
        session.scalars(
            select(CheckpointRow)
            .where(CheckpointRow.run_id == run_id, CheckpointRow.deleted_at.is_(None))
            .order_by(CheckpointRow.step)
        )
    )


def find_checkpoint(session: Session, run: RunRow, wanted: str) -> str:
    """The checkpoint that `latest`, `best`, `initial` or `step-N` means.

    Raises:
        InvalidInput: there is none; the fault lists what there is.
    """
    rows = checkpoints_of(session, run.id)
    best = [row.name for row in rows if row.best]
    names = [row.name for row in rows]
    meanings = {name: name for name in names}
    if names:
        meanings["latest"] = names[-1]
    if best:
        meanings["best"] = best[-1]
    if wanted not in meanings:
        allowed = ", ".join(meanings) or "none yet"
        message = f"run {run.id} has no checkpoint {wanted!r}; it has: {allowed}"
        raise InvalidInput([Fault(path="checkpoint", message=message, allowed=list(meanings))])
    return meanings[wanted]


def fork(
    database: Database, home: Path, run_id: str, wanted: ForkRun, by: Requester, reason: str | None
) -> RunRow:
    """Make a run that starts from a checkpoint of another, which goes on as it is.

    From `now`, the checkpoint is first asked for, and the fork is queued until it is written.

    Raises:
        UnknownRun, InvalidInput, RunNotReady, CheckpointGone: nothing was made.
    """
    with database.reading() as session:
        parent = get_run(session, run_id)
        changes = check_live(parent, wanted.changes, "changes.")
        word = wanted.checkpoint or ("latest" if parent.status in ENDED else NOW)
        checkpoint = None if word == NOW else find_checkpoint(session, parent, word)
    if checkpoint is None:
        with database.writing() as session:
            parent = get_run(session, run_id, for_change=True)
            command = accept_command(session, parent, TakeCheckpoint(pin=True), by, reason)
            child = _new_child(session, parent, new_run_id(), changes, by, wanted.name)
            child.parent_seq = command.seq
            record(session, by, "fork", child)
        return child
    child_id = new_run_id()
    with pinned(home, run_id, checkpoint, child_id), database.writing() as session:
        parent = get_run(session, run_id, for_change=True)
        child = _new_child(session, parent, child_id, changes, by, wanted.name)
        child.parent_checkpoint = checkpoint
        child.pinned = True
        record(session, by, "fork", child)
    return child


def revert(
    database: Database,
    home: Path,
    run_id: str,
    wanted: RevertRun,
    by: Requester,
    reason: str | None,
) -> CommandRow:
    """Ask a live run to go back to a checkpoint as a new run, in the same process.

    Raises:
        UnknownRun, InvalidInput, RunNotReady, CheckpointGone: nothing was made.
    """
    with database.reading() as session:
        parent = get_run(session, run_id)
        require_not_ended(parent)
        changes = check_live(parent, wanted.changes, "changes.")
        checkpoint = find_checkpoint(session, parent, wanted.checkpoint)
    child_id = new_run_id()
    with pinned(home, run_id, checkpoint, child_id), database.writing() as session:
        parent = get_run(session, run_id, for_change=True)
        action = Revert(checkpoint=checkpoint, child=child_id, changes=changes)
        command = accept_command(session, parent, action, by, reason)
        child = _new_child(session, parent, child_id, changes, by, parent.name)
        child.parent_checkpoint = checkpoint
        child.parent_seq = command.seq
        child.reverts = child.pinned = True
        await_revert(session, parent, child)
    return command


def origin_of(run: RunRow) -> Origin | None:
    """Where a run comes from, as its trainer is told; None for one that is no fork."""
    if run.parent_id is None or run.parent_checkpoint is None:
        return None
    return Origin(
        run=run.parent_id,
        checkpoint=run.parent_checkpoint,
        changes=run.changes,
        actor=run.created_by,
        revert=run.reverts,
    )


def _new_child(
    session: Session,
    parent: RunRow,
    child_id: str,
    changes: dict[str, Scalar],
    by: Requester,
    name: str | None,
) -> RunRow:
    child = RunRow(
        id=child_id,
        experiment=parent.experiment,
        name=name,
        config=parent.config,
        status=RunStatus.QUEUED,
        created_by=by.actor,
        created_at=utc_now(),
        parent_id=parent.id,
        changes=changes,
    )
    session.add(child)
    session.flush()
    ring_after(session, RECONCILER)
    return child
