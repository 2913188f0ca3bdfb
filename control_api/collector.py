"""The collector: reports that come while others are being written share one transaction.

A commit costs more than a report does. Whoever finds nobody writing writes what waits, the others'
reports with its own; each request is answered when its own report is kept. A shared transaction
waits for no row: what somebody else is about to change is left to the request that brought it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, load_only

from control_api.database import Database
from control_api.dialects import AWAY, among
from control_api.greenlets import Turnstile
from control_api.ingest import store
from control_api.lifecycle import get_run
from control_api.place import awaits_place, check_place, ends_of_attempts, require_place
from control_api.problems import ApiProblem
from control_api.progress import write_progress
from control_api.reports import Report, take_report
from control_api.tables import RunRow
from midcourse.contract.base import utc_now

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.12
"""While there is company, a transaction begins at most so often."""
MOST = 64
"""Reports in one transaction: more hold each other's rows for longer than they save."""

_NEEDED = load_only(
    *(RunRow.id, RunRow.status, RunRow.attempt, RunRow.reverts, RunRow.parent_id),
    *(RunRow.log_offset, RunRow.latest, RunRow.tracking, RunRow.notice, RunRow.step),
    *(RunRow.epoch, RunRow.total_steps, RunRow.steps_per_second, RunRow.heartbeat_at),
)
"""Of a run's row: without its configuration and declarations, which are long."""


@dataclass(eq=False)
class _Entry:
    """A report that waits to be written, and what became of it."""

    report: Report
    turn: threading.Event = field(default_factory=threading.Event)
    """Set when it was looked at, or when it is its request's turn to write what waits."""
    looked_at: bool = False
    next_offset: int | None = None
    error: Exception | None = None

    @property
    def is_left(self) -> bool:
        """Whether it could not be written with others: its request writes it."""
        return self.next_offset is None and self.error is None


class Collector:
    """Writes the reports that this process receives."""

    def __init__(self, database: Database, gather_seconds: float = GATHER_SECONDS) -> None:
        self._database = database
        self._gather_seconds = gather_seconds
        self._lock = threading.Lock()
        self._turnstile = Turnstile()
        self._waiting: list[_Entry] = []
        self._is_writing = False
        self._began = 0.0
        self._in_company = False

    def hand_in(self, report: Report) -> int:
        """Keep a report; returns when it is committed.

        Returns:
            How much of the run's log is stored now.

        Raises:
            UnknownRun: there is no such run.
            LostPlace: the attempt is not the run's present one.
            WrongOffset: the lines do not begin where the stored part of the log ends.
        """
        entry = _Entry(report)
        if report.is_plain:
            self._share(entry)
        if entry.is_left:
            self._write_alone(entry)
        if entry.error is not None:
            raise entry.error
        assert entry.next_offset is not None
        return entry.next_offset

    def _share(self, entry: _Entry) -> None:
        """Have a report written with others, by this thread if nobody else is writing."""
        with self._lock:
            self._waiting.append(entry)
            somebody_writes, self._is_writing = self._is_writing, True
        if somebody_writes:
            entry.turn.wait()
        if entry.looked_at:
            return
        try:
            while not entry.looked_at:
                self._write_some()
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Have the first of those who wait write from now on."""
        with self._lock:
            if self._waiting:
                self._waiting[0].turn.set()
            else:
                self._is_writing = False

    def _write_some(self) -> None:
        if self._in_company and len(self._waiting) < MOST:
            time.sleep(max(0.0, self._began + self._gather_seconds - time.monotonic()))
        self._began = time.monotonic()
        with self._lock:
            taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._in_company = len(taken) > 1
        try:
            self._write_together({entry.report.run_id: entry for entry in reversed(taken)})
        finally:
            for entry in taken:
                entry.looked_at = True
                entry.turn.set()

    def _write_together(self, entries: dict[str, _Entry]) -> None:
        """Write reports of different runs in one transaction, as far as that goes.

        What is left is written by the requests that brought it: reports of runs whose rows somebody
        else has, as all would wait with them; and all, where one of them breaks the transaction.
        """
        try:
            with self._database.writing() as session:
                runs = [run for run in _lock_runs(session, entries) if not awaits_place(run)]
                ends = ends_of_attempts(session, runs)
                offsets, brought, changed = [], [], []
                for run in runs:
                    if self._database.is_postgresql:  # SQLite's one writer holds up all others
                        self._turnstile.pass_through()
                    entry = entries[run.id]
                    try:
                        attempt = entry.report.attempt
                        check_place(run.id, attempt, run.attempt, run.status, ends.get(run.id))
                        brought.append(take_report(session, run, entry.report, utc_now()))
                        offsets.append((entry, run.log_offset))
                        changed.append(run)
                    except ApiProblem as problem:
                        entry.error = problem
                write_progress(session, changed)
                store(session, [each for each in brought if each is not None])
        except Exception as error:
            if not _is_away(error):
                log.exception("reports could not be stored together: each is tried alone")
                return
            for entry in entries.values():  # those that were refused were refused for good reason
                entry.error = entry.error or error
        else:
            for entry, offset in offsets:
                entry.next_offset = offset

    def _write_alone(self, entry: _Entry) -> None:
        report = entry.report
        try:
            with self._database.writing() as session:
                run = get_run(session, report.run_id, for_change=True)
                require_place(session, run, report.attempt)
                brought = take_report(session, run, report, utc_now())
                store(session, [] if brought is None else [brought])
            entry.next_offset = run.log_offset
        except Exception as error:
            entry.error = error


def _is_away(error: Exception) -> bool:
    """Whether there is no database to try again with at once."""
    if not isinstance(error, AWAY):
        return False
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return True
    return getattr(error.orig, "sqlstate", None) is None


def _lock_runs(session: Session, entries: dict[str, _Entry]) -> Sequence[RunRow]:
    return session.scalars(
        select(RunRow)
        .where(among(session, RunRow.id, entries))
        .options(_NEEDED)
        .order_by(RunRow.id)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
