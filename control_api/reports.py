"""Reports: what a trainer says about once a second, each in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pydantic import ValidationError
from sqlalchemy.orm import Session

from control_api.dialects import storable_line
from control_api.ingest import Taken, take
from control_api.log_lines import Line, parse_lines
from control_api.problems import MalformedBody, WrongOffset
from control_api.tables import RunRow
from midcourse.contract.errors import InvalidInput, faults_of
from midcourse.contract.link import Heartbeat
from midcourse.contract.records import CheckpointFailed, DatasetUsed, MediaLogged, Metrics, Notice
from midcourse.contract.runs import ENDED, RunStatus

_LIVE = frozenset({RunStatus.RUNNING, RunStatus.PAUSED})
_PLAIN = (Metrics, MediaLogged, Notice, CheckpointFailed, DatasetUsed)
"""Records that concern no other row than the run's own, and those that they add."""


@dataclass(frozen=True)
class Report:
    """One report, checked as far as that needs no database."""

    run_id: str
    attempt: int
    offset: int
    beat: Heartbeat | None
    """None: the trainer speaks of the run's past."""
    lines: Sequence[Line]

    @cached_property
    def is_plain(self) -> bool:
        """Whether it may be stored in one transaction with other runs' reports."""
        return all(line.record is None or isinstance(line.record, _PLAIN) for line in self.lines)


def read_report(run_id: str, attempt: int, offset: int, data: bytes) -> Report:
    """A report as it came: a heartbeat or nothing in the first line, run log in the others.

    Raises:
        MalformedBody: there is no whole line where one should be.
        InvalidInput: the first line is not a heartbeat.
    """
    first, newline, log = data.partition(b"\n")
    if not newline:
        raise MalformedBody("The body holds no whole line, ended by a newline.")
    if log and b"\n" not in log:
        raise MalformedBody("Behind its first line, the body holds no whole line of run log.")
    try:
        beat = Heartbeat.model_validate_json(storable_line(first)) if first else None
    except ValidationError as error:
        raise InvalidInput(faults_of(error)) from None
    except ValueError as error:
        raise MalformedBody(f"The first line is not JSON: {error}.") from None
    return Report(run_id, attempt, offset, beat, parse_lines(log))


def take_report(session: Session, run: RunRow, report: Report, now: datetime) -> Taken | None:
    """Take the report of a run's rightful trainer; what it brings in numbers is still to be stored.

    Raises:
        WrongOffset: its lines do not begin where the stored part of the log ends.
    """
    if report.lines and report.offset != run.log_offset:
        raise WrongOffset(
            f"{run.log_offset} bytes of this log are stored, so it goes on there and not at "
            f"{report.offset}.",
            next_offset=run.log_offset,
        )
    if report.beat is not None:
        _take_beat(run, report.beat, now)
    return take(session, run, report.lines) if report.lines else None


def _take_beat(run: RunRow, beat: Heartbeat, now: datetime) -> None:
    """Note where the trainer is. What it did, and how it ended, is told by its log alone."""
    run.heartbeat_at = now
    tracking = None if beat.tracking is None else beat.tracking.model_dump(mode="json")
    if tracking is not None and tracking != run.tracking:
        run.tracking = tracking
    if run.status in ENDED:
        return
    run.step, run.epoch = beat.step, beat.epoch
    if run.status in _LIVE and beat.status in _LIVE:
        run.status = beat.status
    run.steps_per_second = beat.steps_per_second
    if beat.total_steps is not None:
        run.total_steps = beat.total_steps
