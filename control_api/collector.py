"""The collector: reports that come while others are being written share one transaction.

A commit costs more than a report does. Whoever finds nobody writing writes what waits, the others'
reports with its own; each request is answered when its own report is kept. Rows are locked in the
order of the runs' ids, in every process, so that no two wait for each other.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, load_only

from control_api.database import Database
from control_api.dialects import AWAY
from control_api.ingest import Taken, store
from control_api.lifecycle import get_run
from control_api.place import awaits_place, check_place, ends_of_attempts, require_place
from control_api.problems import ApiProblem
from control_api.progress import write_progress
from control_api.reports import Report, take_report
from control_api.tables import RunRow
from midcourse.contract.base import utc_now

GATHER_SECONDS = 0.02
"""While there is company, a transaction begins at most so often."""
MOST = 200
"""Reports in one transaction: the others of its runs wait for it."""

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
    next_offset: int | None = None
    error: Exception | None = None
    done: bool = field(default=False)


class Collector:
    """Writes the reports that this process receives."""

    def __init__(self, database: Database, gather_seconds: float = GATHER_SECONDS) -> None:
        self._database = database
        self._gather_seconds = gather_seconds
        self._lock = threading.Lock()
        self._waiting: list[_Entry] = []
        self._writing = threading.Lock()
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
        with self._lock:
            self._waiting.append(entry)
        with self._writing:
            while not entry.done:
                self._write_some()
        if entry.error is not None:
            raise entry.error
        assert entry.next_offset is not None
        return entry.next_offset

    def _write_some(self) -> None:
        if self._in_company:
            time.sleep(max(0.0, self._began + self._gather_seconds - time.monotonic()))
        self._began = time.monotonic()
        with self._lock:
            taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._in_company = len(taken) > 1
        try:
            self._write(taken)
        finally:
            for entry in taken:
                entry.done = True

    def _write(self, entries: Sequence[_Entry]) -> None:
        """Write what may share a transaction in one, and the rest one by one."""
        shared: dict[str, _Entry] = {}
        alone = []
        for entry in entries:
            run_id = entry.report.run_id
            if len(entries) > 1 and entry.report.is_plain and run_id not in shared:
                shared[run_id] = entry
            else:
                alone.append(entry)
        if shared:
            alone = self._write_together(shared) + alone
        for entry in alone:
            self._write_alone(entry)

    def _write_together(self, entries: dict[str, _Entry]) -> list[_Entry]:
        """Write reports of different runs in one transaction.

        Returns:
            Those that are still to be written, each alone.
        """
        left = []
        try:
            with self._database.writing() as session:
                runs = _lock_runs(session, entries)
                ends = ends_of_attempts(session, runs)
                brought, changed = [], []
                for run in runs:
                    entry = entries[run.id]
                    if awaits_place(run):
                        left.append(entry)
                        continue
                    try:
                        attempt = entry.report.attempt
                        check_place(run.id, attempt, run.attempt, run.status, ends.get(run.id))
                        brought.append(_take(session, run, entry))
                        changed.append(run)
                    except ApiProblem as problem:
                        entry.error = problem
                write_progress(session, changed)
                store(session, [each for each in brought if each is not None])
        except Exception as error:
            # Those that were refused were refused for good reason.
            failed = [entry for entry in entries.values() if entry.error is None]
            if not _is_away(error):
                return failed  # one of them is bad, and must not take the others with it
            for entry in failed:
                entry.error = error
            return []
        missing = set(entries) - {run.id for run in runs}
        return left + [entries[run_id] for run_id in missing]

    def _write_alone(self, entry: _Entry) -> None:
        report = entry.report
        try:
            with self._database.writing() as session:
                run = get_run(session, report.run_id, for_change=True)
                require_place(session, run, report.attempt)
                brought = _take(session, run, entry)
                store(session, [] if brought is None else [brought])
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
        .where(RunRow.id.in_(entries))
        .options(_NEEDED)
        .order_by(RunRow.id)
        .with_for_update(key_share=True)
    ).all()


def _take(session: Session, run: RunRow, entry: _Entry) -> Taken | None:
    brought = take_report(session, run, entry.report, utc_now())
    entry.next_offset = run.log_offset
    return brought
