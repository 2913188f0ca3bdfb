"""Forks, reverts, undos and replays: new runs that come from others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.accepting import accept_command, require_not_ended
from control_api.asking import Made, Requester, record
from control_api.children import new_child, new_replay, new_successor
from control_api.configs import check_experiment, merge_patch
from control_api.database import Database
from control_api.lifecycle import get_run
from control_api.live import check_live
from control_api.pins import pinned
from control_api.problems import RunNotReady
from control_api.tables import CheckpointRow, RunRow
from midcourse.contract.api.branches import ForkPreview, ForkRun, RevertRun
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.api.runs import OriginView
from midcourse.contract.commands import Changes, Revert, TakeCheckpoint, Undo
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import new_run_id
from midcourse.contract.runs import ENDED, RunStatus

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


@dataclass(frozen=True)
class _Plan:
    """What a fork is to be."""

    checkpoint: str | None
    """None: the one that is still to be taken."""
    changes: Changes
    experiment: str
    config: dict[str, Any]
    warm_start: bool


def _plan_fork(session: Session, run_id: str, wanted: ForkRun) -> _Plan:
    parent = get_run(session, run_id)
    _require_whole(parent)
    config = merge_patch(parent.config, wanted.config)
    experiment = check_experiment(config.setdefault("experiment", parent.experiment))
    edited = config != parent.config
    word = wanted.checkpoint or ("latest" if parent.status in ENDED else NOW)
    if word == NOW:
        require_not_ended(parent)
        if parent.status is RunStatus.SUSPENDED:
            word = "latest"  # which it was suspended with: there is no trainer to take another
    return _Plan(
        checkpoint=None if word == NOW else find_checkpoint(session, parent, word),
        changes=check_live(parent, wanted.changes, "changes.", edited=edited),
        experiment=experiment,
        config=config,
        warm_start=edited,
    )


def _require_whole(run: RunRow) -> None:
    """Refuse a run that is but a patch: a fork from W&B whose other run is not known here yet.

    Raises:
        RunNotReady: what it is to be is not known.
    """
    if run.source is None or run.parent_id is not None or run.parent_checkpoint is not None:
        return
    if run.status is RunStatus.IMPORTED:
        return  # its source is where it is itself
    then = ", which never came" if run.status in ENDED else ": wait until it is here"
    raise RunNotReady(
        f"Run {run.id} is a fork of {run.source}, and its configuration comes with that "
        f"checkpoint{then}."
    )


def preview_fork(database: Database, run_id: str, wanted: ForkRun, by: Requester) -> ForkPreview:
    """What `fork` would make.

    Raises:
        UnknownRun, InvalidInput, RunNotReady: it would make nothing.
    """
    with database.reading() as session:
        plan = _plan_fork(session, run_id, wanted)
    origin = OriginView(
        run=run_id,
        checkpoint=plan.checkpoint,
        changes=plan.changes,
        warm_start=plan.warm_start,
        actor=by.actor,
        revert=False,
    )
    return ForkPreview(origin=origin, config=plan.config)


def fork(
    database: Database, home: Path, run_id: str, wanted: ForkRun, by: Requester, reason: str | None
) -> Made:
    """Make a run that starts from a checkpoint of another, which goes on as it is.

    From `now`, the checkpoint is first asked for, and the fork is queued until it is written.

    Raises:
        UnknownRun, InvalidInput, RunNotReady, CheckpointGone: nothing was made.
    """
    with database.reading() as session:
        plan = _plan_fork(session, run_id, wanted)
    child_id = new_run_id()
    columns = {
        "name": wanted.name,
        "experiment": plan.experiment,
        "config": plan.config,
        "parent_id": run_id,
        "changes": plan.changes,
        "warm_start": plan.warm_start,
    }
    if plan.checkpoint is None:
        with database.writing() as session:
            parent = get_run(session, run_id, for_change=True)
            how = CommandQuery(reason=reason)
            asked, _ = accept_command(
                session, parent, TakeCheckpoint(pin=True), by.without_key(), how
            )
            child = new_child(session, parent, child_id, by.actor, parent_seq=asked.seq, **columns)
            return record(session, by, "fork", child)
    with pinned(home, run_id, plan.checkpoint, child_id), database.writing() as session:
        parent = get_run(session, run_id, for_change=True)
        columns |= {"parent_checkpoint": plan.checkpoint, "pinned": True}
        child = new_child(session, parent, child_id, by.actor, **columns)
        return record(session, by, "fork", child)


def revert(
    database: Database, home: Path, run_id: str, wanted: RevertRun, by: Requester, how: CommandQuery
) -> Made:
    """Ask a live run to go back to a checkpoint as a new run, in the same process.

    Raises:
        UnknownRun, InvalidInput, RunNotReady, CheckpointGone: nothing was made.
    """
    with database.reading() as session:
        parent = get_run(session, run_id)
        require_not_ended(parent)
        changes = check_live(parent, wanted.changes, "changes.")
        checkpoint = find_checkpoint(session, parent, wanted.checkpoint)
    action = Revert(checkpoint=checkpoint, child=new_run_id(), changes=changes)
    if how.dry_run:
        with database.writing() as session:
            parent = get_run(session, run_id, for_change=True)
            return accept_command(session, parent, action, by, how)[1]
    with pinned(home, run_id, checkpoint, action.child), database.writing() as session:
        parent = get_run(session, run_id, for_change=True)
        command, made = accept_command(session, parent, action, by, how)
        new_successor(session, parent, command, checkpoint)
        return made


def undo(database: Database, run_id: str, by: Requester, how: CommandQuery) -> Made:
    """Ask a live run to go back to the checkpoint before its last change; it knows which one.

    Raises:
        UnknownRun, InvalidInput, RunNotReady: nothing was made.
    """
    with database.writing() as session:
        parent = get_run(session, run_id, for_change=True)
        action = Undo(child=new_run_id())
        command, made = accept_command(session, parent, action, by, how)
        if not how.dry_run:
            new_successor(session, parent, command, None)
        return made


def replay(database: Database, run_id: str, name: str | None, by: Requester) -> Made:
    """Make a run that begins as another did, and is fed its journal.

    Raises:
        UnknownRun, RunNotReady: nothing was made.
    """
    with database.writing() as session:
        original = get_run(session, run_id)
        _require_whole(original)
        return new_replay(session, original, new_run_id(), by, name)
