"""Chores: what has to be done now and then, so that the database does not grow for ever.

The reconciler calls them, as one process does at a time. Each call does a little, in a transaction
that is soon over.
"""

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.orm import Session

from control_api.metric_store import seal_metrics
from control_api.tables import EventRow, MetricBatchRow, RunRow
from midcourse.contract.api.events import EventKind
from midcourse.contract.runs import ENDED

EVENTS_AT_ONCE = 2000
RUNS_AT_ONCE = 5


def prune_events(session: Session, now: datetime, keep: timedelta) -> int:
    """Delete the oldest events, if they are older than `keep`.

    The newest of them becomes a `gap`: whoever comes back with a lower number is told by it that
    something is missing, and so is a reader that was just about to read them.

    Returns:
        How many were deleted; there may be more of them.
    """
    oldest = (
        select(EventRow.id)
        .where(EventRow.at < now - keep)
        .order_by(EventRow.id)
        .limit(EVENTS_AT_ONCE)
    )
    edge = session.scalar(select(func.max(oldest.subquery().c.id)))
    if edge is None:
        return 0
    gone = cast(CursorResult[Any], session.execute(delete(EventRow).where(EventRow.id < edge)))
    session.execute(
        update(EventRow)
        .where(EventRow.id == edge, EventRow.kind != EventKind.GAP)
        .values(kind=EventKind.GAP, run_id=None, data={})
    )
    return gone.rowcount


def seal_ended(session: Session) -> None:
    """Fold the numbers of runs that ended without a word in their log, such as by a kill."""
    ended = (
        select(RunRow.id)
        .where(
            RunRow.status.in_(ENDED),
            RunRow.id.in_(select(MetricBatchRow.run_id).distinct()),
        )
        .order_by(RunRow.id)
        .limit(RUNS_AT_ONCE)
        .with_for_update()
    )
    for run_id in session.scalars(ended).all():
        seal_metrics(session, run_id)


class Chores:
    """When what is due."""

    def __init__(self, keep_events: timedelta, every: timedelta = timedelta(minutes=1)) -> None:
        self._keep_events = keep_events
        self._every = every
        self._due: datetime | None = None

    def are_due(self, now: datetime) -> bool:
        """Whether it is time again."""
        return self._due is None or now >= self._due

    def do(self, session: Session, now: datetime) -> None:
        """A part of each; where much is left, the next round goes on."""
        pruned = prune_events(session, now, self._keep_events)
        seal_ended(session)
        self._due = None if pruned >= EVENTS_AT_ONCE - 1 else now + self._every
