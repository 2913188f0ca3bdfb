"""The pages of experiments in W&B, as rows: who asked for them, and how they stand.

`control_api.publisher` publishes them, in the reconciler's process.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from control_api.bell import LOOK_SECONDS
from control_api.database import Database
from control_api.rows import insert_new
from control_api.tables import ReportRow, RunRow
from midcourse.contract.api.reports import ReportState, ReportView

ENDED = (ReportState.PUBLISHED, ReportState.FAILED)
OWN_ACTOR = "midcourse"
"""Who asks, where pages are refreshed by themselves."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""Before a refresh that failed is tried again."""
LONGEST_FAILING = timedelta(days=1)
"""Since the last end of a run; then a person, or the next run's end, has to ask."""


def report_key(experiment: str) -> str:
    """The bell key for an experiment's pages."""
    return f"report:{experiment}"


def find(session: Session, experiment: str) -> ReportRow | None:
    """How an experiment's pages stand; None: nobody has asked for them."""
    return session.get(ReportRow, experiment)


def ask(session: Session, experiment: str, actor: str, now: datetime) -> int:
    """Ask that the pages be published as things are now; returns which time this is."""
    row = session.get(ReportRow, experiment, with_for_update=True)
    if row is None:  # for another, too, maybe: one of the two rows is kept
        first = {"state": ReportState.PENDING, "links": [], "notes": [], "asked": 0, "begun": 0}
        who = {"asked_by": actor, "asked_at": now}
        insert_new(session, ReportRow, [{"experiment": experiment, **first, **who}])
        row = session.get_one(ReportRow, experiment, with_for_update=True)
    row.asked += 1
    row.asked_by, row.asked_at = actor, now
    if row.state is not ReportState.PUBLISHING:  # else it is published once more, afterwards
        row.state, row.error, row.ended_at = ReportState.PENDING, None, None
    return row.asked


def await_end(database: Database, experiment: str, asked: int, wait: int) -> ReportRow:
    """The row once what was asked for that time has ended, or when the seconds are over."""

    def look() -> ReportRow | None:
        with database.reading() as session:
            now = session.get_one(ReportRow, experiment)
        return now if now.state in ENDED and now.begun >= asked else None

    if wait:
        # The reconciler rings in its own process, and that is another one than ours.
        row = database.bell.await_value(report_key(experiment), look, wait, LOOK_SECONDS)
        if row is not None:
            return row
    with database.reading() as session:
        return session.get_one(ReportRow, experiment)


def to_publish(session: Session) -> str | None:
    """The experiment whose turn it is; one that an earlier reconciler had begun counts as well."""
    waiting = (ReportState.PENDING, ReportState.PUBLISHING)
    return session.scalar(
        select(ReportRow.experiment)
        .where(ReportRow.state.in_(waiting))
        .order_by(ReportRow.asked_at, ReportRow.experiment)
        .limit(1)
    )


def out_of_date(session: Session, now: datetime, rest: timedelta) -> Sequence[str]:
    """Experiments that were published once, and of which runs have ended since.

    Where that failed it is tried again, for a day after the end: after as long as it has been
    failing, so after a minute, two, four, up to an hour.

    Args:
        session: on the database.
        now: the time.
        rest: the last of these ends must be this long ago.
    """
    rows = session.scalars(select(ReportRow).where(ReportRow.state.in_(ENDED))).all()
    shown = {row.experiment: row for row in rows if row.links and row.begun_at}
    if not shown:
        return []
    latest = func.max(RunRow.ended_at)
    last = session.execute(
        select(RunRow.experiment, latest)
        .where(RunRow.experiment.in_(shown))
        .group_by(RunRow.experiment)
        .having(latest.is_not(None), latest <= now - rest)
    )
    return [name for name, ended in last if ended and _is_out_of_date(shown[name], ended, now)]


def _is_out_of_date(row: ReportRow, last_end: datetime, now: datetime) -> bool:
    assert row.begun_at is not None
    if last_end > row.begun_at:
        return True
    if row.state is not ReportState.FAILED or row.ended_at is None:
        return False
    failing = row.ended_at - last_end
    pause = min(max(failing, FIRST_PAUSE), LONGEST_PAUSE)
    return failing <= LONGEST_FAILING and row.ended_at + pause <= now


def view(row: ReportRow) -> ReportView:
    """As clients see it."""
    return ReportView.model_validate(
        {
            "experiment": row.experiment,
            "state": row.state,
            "links": row.links,
            "notes": row.notes,
            "error": row.error,
            "asked_by": row.asked_by,
            "asked_at": row.asked_at,
            "ended_at": row.ended_at,
        }
    )
