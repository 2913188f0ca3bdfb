"""How things stand, for Prometheus: read from the database when it asks, so all processes agree."""

import time
from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from control_api.columns import TagState
from control_api.database import Database
from control_api.lease import LEASE, TAGS_LEASE, last_claim, last_work, trouble_of
from control_api.queue import free_slots, queued_runs
from control_api.settings import Settings
from control_api.tables import AttemptRow, CommandRow, EventRow, PageTagRow, RunRow
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import RunStatus

Family = GaugeMetricFamily | CounterMetricFamily


class Gauges(Collector):
    """What the database says, at one moment."""

    def __init__(self, settings: Settings, database: Database, now: datetime) -> None:
        self._settings = settings
        self._database = database
        self._now = now

    def collect(self) -> Iterable[Family]:
        """All families; each look at the database is a fresh one."""
        began = time.perf_counter()
        with self._database.reading() as session:
            session.execute(select(1))
            answered = time.perf_counter() - began
            yield _gauge("midcourse_database_up", "Whether the database answers.", 1)
            yield _gauge(
                "midcourse_database_answer_seconds", "How long the simplest answer took.", answered
            )
            yield from self._of_runs(session)
            yield from self._of_reconciler(session)
            if self._settings.wandb.tag_verbs:
                yield from self._of_page_tags(session)

    def _of_runs(self, session: Session) -> Iterable[Family]:
        yield _by(
            "midcourse_runs",
            "Runs by status, those that were deleted left out.",
            "status",
            dict.fromkeys(RunStatus, 0)
            | _counts(session, RunRow.status, RunRow.deleted_at.is_(None)),
        )
        free = len(free_slots(session, self._settings.slots))
        used = session.scalar(select(func.count()).where(RunRow.slot.is_not(None))) or 0
        yield _by(
            "midcourse_slots",
            "Slots that runs have, and that wait for one.",
            "state",
            {"used": used, "free": free},
        )
        queued = len(queued_runs(session))
        yield _gauge("midcourse_queue_length", "Runs that wait for a slot.", queued)
        living = session.scalar(
            select(func.count()).select_from(AttemptRow).where(AttemptRow.ended_at.is_(None))
        )
        yield _gauge("midcourse_trainers", "Trainers that live, or are believed to.", living or 0)
        yield _by(
            "midcourse_commands",
            "Commands by state, since the first.",
            "state",
            dict.fromkeys(CommandState, 0) | _counts(session, CommandRow.state),
        )

    def _of_reconciler(self, session: Session) -> Iterable[Family]:
        claimed = last_claim(session, LEASE, self._settings.lease_seconds)
        age = float("inf") if claimed is None else (self._now - claimed).total_seconds()
        yield _gauge(
            "midcourse_reconciler_round_age_seconds",
            "Seconds since a reconciler last looked; infinite where none has the lease.",
            max(0.0, age),
        )
        events = session.scalar(select(func.max(EventRow.id))) or 0
        family = CounterMetricFamily("midcourse_events", "Events since the first.")
        family.add_metric([], events)
        yield family

    def _of_page_tags(self, session: Session) -> Iterable[Family]:
        worked = last_work(session, TAGS_LEASE)
        age = float("inf") if worked is None else (self._now - worked).total_seconds()
        yield _gauge(
            "midcourse_page_tags_look_age_seconds",
            "Seconds since the tags of runs in W&B were last looked at; infinite: never.",
            max(0.0, age),
        )
        is_troubled = trouble_of(session, TAGS_LEASE) is not None
        about = "Whether W&B keeps some of them from being looked at; the log says why."
        yield _gauge("midcourse_page_tags_trouble", about, is_troubled)
        yield _by(
            "midcourse_page_tags",
            "Tags that commanded runs, by what became of them.",
            "state",
            dict.fromkeys(TagState, 0) | _counts(session, PageTagRow.state),
        )


def _counts(
    session: Session,
    column: InstrumentedAttribute[RunStatus]
    | InstrumentedAttribute[CommandState]
    | InstrumentedAttribute[TagState],
    *conditions: ColumnElement[bool],
) -> dict[str, int]:
    query = select(column, func.count()).where(*conditions).group_by(column)
    return {str(value): count for value, count in session.execute(query)}


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _by(name: str, about: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family
