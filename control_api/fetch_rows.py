"""Forks that wait for a checkpoint from W&B, as the database knows them."""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.tables import FetchRow, RunRow
from midcourse.contract.runs import RunStatus


def forks_by_source(session: Session) -> dict[str, list[str]]:
    """What has to be fetched, with the runs that wait for it; the oldest fork's source first."""
    rows = session.execute(
        select(RunRow.source, RunRow.id)
        .where(
            RunRow.status == RunStatus.QUEUED,
            RunRow.source.is_not(None),
            RunRow.parent_checkpoint.is_(None),
            RunRow.deleted_at.is_(None),
        )
        .order_by(RunRow.created_at, RunRow.id)
    )
    found: defaultdict[str, list[str]] = defaultdict(list)
    for source, run_id in rows:
        assert source is not None
        found[source].append(run_id)
    return found


def waiting_fork(session: Session, run_id: str) -> RunRow | None:
    """A fork that still waits, kept from changing meanwhile; None for one that does no more."""
    run = session.get(RunRow, run_id, with_for_update={"key_share": True})
    waits = run is not None and run.status is RunStatus.QUEUED and run.parent_checkpoint is None
    return run if waits else None


def due_times(session: Session) -> dict[str, datetime]:
    """When what could not be fetched is to be tried again, by source."""
    rows = session.execute(select(FetchRow.source, FetchRow.due_at))
    return {row.source: row.due_at for row in rows}


def troubles_of_fetches(session: Session) -> dict[str, str]:
    """Why what could not be fetched so far could not be, by source; for people."""
    return {
        row.source: f"{row.trouble}. It is tried again at {row.due_at:%H:%M:%S} UTC."
        for row in session.scalars(select(FetchRow))
    }


def note_trouble(session: Session, source: str, trouble: str, due_at: datetime) -> None:
    """Keep why a try failed, and when the next one is."""
    row = session.get(FetchRow, source)
    if row is None:
        session.add(FetchRow(source=source, tries=1, due_at=due_at, trouble=trouble))
    else:
        row.tries, row.due_at, row.trouble = row.tries + 1, due_at, trouble


def tries_of(session: Session, source: str) -> int:
    """How many tries have failed."""
    row = session.get(FetchRow, source)
    return 0 if row is None else row.tries


def forget_fetch(session: Session, source: str) -> None:
    """Let go of what was noted of a source."""
    row = session.get(FetchRow, source)
    if row is not None:
        session.delete(row)
