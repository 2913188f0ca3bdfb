"""Deleting runs: all of one goes but a row, and the checkpoints that others came from.

First the row says that the run is deleted, in one transaction; from then on nobody finds it, and
nothing can begin from it. Then its files and the rest of its rows go. Who is killed between leaves
a row that is not cleared, and the reconciler goes on from there.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from control_api.asking import Made, Requester, record
from control_api.attempts import open_attempt
from control_api.branches import checkpoints_of
from control_api.children import origin_of
from control_api.clearing import (
    COMMAND_PIN,
    checkpoints_on_disk,
    clear_folder,
    is_in_use,
    size_of,
    sizes_in_folder,
)
from control_api.database import Database
from control_api.lifecycle import get_run
from control_api.needs import Needs, checkpoints_needed, never_began
from control_api.pins import unpin
from control_api.problems import RunNotReady
from control_api.tables import (
    AttemptRow,
    MediaRow,
    MetricBatchRow,
    MetricChunkRow,
    PageTagRow,
    RunRow,
    TrainerTokenRow,
)
from control_api.unsent import forget
from midcourse.contract.api.runs import Deletion, FolderEntry, FreedCheckpoint, KeptCheckpoint
from midcourse.contract.base import utc_now
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import ENDED

AGAIN = timedelta(seconds=30)
"""How long whoever deletes a run has for it before the reconciler goes on, and its next try."""

_ROWS = (MetricBatchRow, MetricChunkRow, MediaRow, AttemptRow, TrainerTokenRow, PageTagRow)
"""What else there is of a run. Its commands stay: they are what the audit speaks of."""

log = logging.getLogger(__name__)


def preview_deletion(database: Database, home: Path, run_id: str) -> Deletion:
    """What `delete_run` would take away.

    Raises:
        UnknownRun, RunDeleted, RunNotReady: it would take nothing.
    """
    with database.reading() as session:
        return _plan(session, home, get_run(session, run_id)).report


def delete_run(database: Database, home: Path, run_id: str, by: Requester) -> Made:
    """Delete a run that has ended.

    Raises:
        UnknownRun, RunDeleted, RunNotReady: nothing was deleted.
    """
    while True:
        with database.reading() as session:
            plan = _plan(session, home, get_run(session, run_id))  # looks at the disk
        with database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            _require_deletable(session, run)
            if checkpoints_needed(session, run_id) != plan.in_database:
                continue  # somebody has begun from it meanwhile
            moment = utc_now()
            report = plan.report.model_copy(update={"dry_run": False, "deleted_at": moment})
            _empty(run, moment)
            forget(session, run.id)
            run.deletion = report.model_dump(mode="json")
            made = record(session, by, "delete", run)
        break
    clear_deleted(database, home, run_id, moment)
    return made


def deletion_of(session: Session, run_id: str) -> Deletion:
    """What the deletion of a deleted run took and left."""
    return Deletion.model_validate(session.get_one(RunRow, run_id).deletion)


def clear_deleted(database: Database, home: Path, run_id: str, now: datetime) -> None:
    """Take away what is left of a deleted run, and what was kept for it alone.

    What cannot be taken away is tried again by the reconciler.
    """
    next_id: str | None = run_id
    while next_id is not None:
        try:
            next_id = _clear(database, home, next_id, now)
        except OSError as error:
            log.error("run %s is deleted, but not all of it can be taken away: %s", next_id, error)
            with database.writing() as session:
                session.get_one(RunRow, next_id).clear_after = now + AGAIN
            return


def _clear(database: Database, home: Path, run_id: str, now: datetime) -> str | None:
    """Clear one run.

    Returns:
        A run deleted before, of which a checkpoint was kept for this one and may go now.
    """
    with database.reading() as session:
        run = session.get_one(RunRow, run_id)
        if run.deleted_at is None or run.clear_after is None:
            return None
        needs = checkpoints_needed(session, run_id)
        paths = RunPaths(home, run_id)
        ignored = _without_need(session, home, checkpoints_on_disk(paths))
    stayed = clear_folder(paths, needs, ignored)
    origin = origin_of(run)
    frees = origin is not None and not stayed and not needs
    if origin is not None and frees:
        unpin(home, origin.run, origin.checkpoint, run_id)
    with database.writing() as session:
        for table in _ROWS:
            session.execute(delete(table).where(table.run_id == run_id))
        for row in checkpoints_of(session, run_id):
            if row.name not in needs and row.name not in stayed:
                row.deleted_at = utc_now()
        run = session.get_one(RunRow, run_id, with_for_update=True)
        run.clear_after = None
        if origin is None or not frees:
            return None
        run.pinned = False
        source = session.get(RunRow, origin.run, with_for_update=True)
        if source is None or source.deleted_at is None:
            return None
        source.clear_after = now + AGAIN
        return source.id


@dataclass(frozen=True)
class _Plan:
    """What a deletion would do, and what it rests on."""

    report: Deletion
    in_database: Needs


def _plan(session: Session, home: Path, run: RunRow) -> _Plan:
    _require_deletable(session, run)
    paths = RunPaths(home, run.id)
    if is_in_use(paths):
        raise _still_ending(run)
    in_database = checkpoints_needed(session, run.id)
    on_disk = checkpoints_on_disk(paths)
    ignored = _without_need(session, home, on_disk)
    needs = dict(in_database)
    for name, keepers in on_disk.items():
        others = {*needs.get(name, ()), *(keepers - {COMMAND_PIN, *ignored})}
        needs |= {name: sorted(others)} if others else {}
    known = {row.name for row in checkpoints_of(session, run.id)} | on_disk.keys()
    sizes = sizes_in_folder(paths, needs)
    freed = [] if needs else _freed_with(session, run)
    more = sum(size_of(RunPaths(home, each.run).checkpoint(each.name)) for each in freed)
    children = select(RunRow.id).where(RunRow.parent_id == run.id, RunRow.deleted_at.is_(None))
    media = select(func.count()).select_from(MediaRow).where(MediaRow.run_id == run.id)
    report = Deletion(
        run=run.id,
        dry_run=True,
        deleted_at=None,
        checkpoints_gone=sorted(known - needs.keys()),
        checkpoints_kept=[KeptCheckpoint(name=name, needed_by=by) for name, by in needs.items()],
        checkpoints_freed=freed,
        files=[
            FolderEntry(path=path, bytes=size)
            for path, size in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
        bytes_freed=sum(sizes.values()) + more,
        metrics=len(run.latest),
        media=session.scalar(media) or 0,
        children=list(session.scalars(children.order_by(RunRow.created_at))),
    )
    return _Plan(report, in_database)


def _without_need(session: Session, home: Path, pins: dict[str, set[str]]) -> set[str]:
    """Those whose pins do not count: they are deleted, never began, or never were."""
    keepers = {keeper for each in pins.values() for keeper in each}
    rows = session.scalars(select(RunRow).where(RunRow.id.in_(keepers))).all()
    known = {row.id for row in rows}
    over = {
        row.id for row in rows if row.deleted_at is not None or never_began(row.status, row.attempt)
    }
    # A run that was forked without the control API has a folder, and no row.
    strangers = {
        keeper for keeper in keepers - known if not (home / "runs" / keeper / "run.json").exists()
    }
    return over | strangers


def _freed_with(session: Session, run: RunRow) -> list[FreedCheckpoint]:
    """Checkpoints of runs deleted before that were kept for this one alone."""
    freed, taken = [], run
    while (origin := origin_of(taken)) is not None:
        source = session.get_one(RunRow, origin.run)
        needed = checkpoints_needed(session, source.id)
        if source.deleted_at is None:
            break
        if needed.get(origin.checkpoint) == [run.id]:
            freed.append(FreedCheckpoint(run=source.id, name=origin.checkpoint))
        if {name: by for name, by in needed.items() if by != [run.id]}:
            break
        taken = source
    return freed


def _require_deletable(session: Session, run: RunRow) -> None:
    if run.status not in ENDED:
        raise RunNotReady(
            f"Run {run.id} is {run.status}, and only runs that have ended can be deleted. Stop it "
            "first: POST …/stop."
        )
    if open_attempt(session, run) is not None:
        raise _still_ending(run)
    waiting = select(RunRow.id).where(
        RunRow.deleted_at.is_(None),
        RunRow.status.not_in(ENDED),
        RunRow.started_at.is_(None),
        ((RunRow.parent_id == run.id) & RunRow.parent_checkpoint.is_(None))
        | (RunRow.replay == run.id),
    )
    if waits := session.scalar(waiting.limit(1)):
        raise RunNotReady(
            f"Run {waits} is about to begin from run {run.id}. Wait until it has, or stop it."
        )


def _still_ending(run: RunRow) -> RunNotReady:
    return RunNotReady(
        f"Run {run.id} has ended, but its trainer has not yet. Try again in a moment.",
        headers={"Retry-After": "2"},
    )


def _empty(run: RunRow, moment: datetime) -> None:
    """What lineages show of a deleted run stays: what it was, where it came from, its metrics."""
    run.deleted_at, run.clear_after = moment, moment + AGAIN
    run.config, run.declared, run.live_values = {}, None, {}
    run.summary, run.tracking = {}, None
    run.tags, run.notes, run.error, run.notice = [], None, None, None
