"""Reads a run log from end to end into what a record of the run is made of."""

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from dashboards.kept_media import KeptMedia
from dashboards.records import Attempt, Intervention
from dashboards.series import Series, as_said
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.commands import Fork, SetParameters
from midcourse.contract.errors import first_line
from midcourse.contract.interventions import COLUMNS, curve_points, intervention_rows
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointWritten,
    CommandDone,
    LogRecord,
    MediaLogged,
    Metrics,
    Notice,
    Started,
    StatusChanged,
    parse_record,
)

MOST_FAULTS: Final = 3
"""So many damaged lines are told one by one; the others are counted."""


class RunLog:
    """What a run's log says, gathered record by record. A redo's repetitions leave no trace."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.status: StatusChanged | None = None
        """The last one since the last start; None while it simply runs."""
        self.last_step: int | None = None
        self.total_steps: int | None = None
        self.last_seen = 0.0
        """Seconds since 1970; 0 where the log is empty."""
        self.values: dict[str, JsonValue] = {}
        self.interventions: list[Intervention] = []
        self.media = KeptMedia()
        self.summary: dict[str, JsonValue] = {}
        self.notices: list[str] = []
        self.faults: list[str] = []
        self._metrics: dict[str, tuple[array[int], array[float], array[float]]] = {}
        self._parameters: dict[str, dict[int, float]] = {}
        self._checkpoints: dict[str, CheckpointRecord] = {}
        self._seen: set[int] = set()
        self._damaged = 0

    def read(self, path: Path) -> None:
        """Take all whole lines of a log; those that are no records are told in `faults`.

        An unfinished last line is left out without a word: its writer is at it, or crashed there.

        Raises:
            OSError: the log cannot be read.
        """
        offset = 0
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._take_line(line, offset)
                offset += len(line)
        if self._damaged > MOST_FAULTS:
            self.faults.append(f"{self._damaged - MOST_FAULTS} more lines are damaged")

    @property
    def series(self) -> dict[str, Series]:
        """Metrics by name, and live parameters that are numbers as `param/<name>`."""
        logged = {name: as_said(*columns) for name, columns in self._metrics.items()}
        return logged | {
            name: self._drawn(points) for name, points in self._parameters.items() if points
        }

    @property
    def checkpoints(self) -> tuple[CheckpointRecord, ...]:
        """Those that were not deleted, by step."""
        return tuple(sorted(self._checkpoints.values(), key=lambda each: each.step))

    def _take_line(self, line: bytes, offset: int) -> None:
        try:
            record = parse_record(line)
        except ValueError as error:
            self._damaged += 1
            if self._damaged <= MOST_FAULTS:
                reason = first_line(error)
                self.faults.append(f"a line of the run log is damaged, at byte {offset}: {reason}")
            return
        if isinstance(record, Metrics):
            self._take_metrics(record)
        else:
            self._take(record)

    def _take_metrics(self, record: Metrics) -> None:
        step, time = record.step, record.time
        for name, value in record.values.items():
            columns = self._metrics.get(name)
            if columns is None:
                columns = self._metrics[name] = (array("q"), array("d"), array("d"))
            columns[0].append(step)
            columns[1].append(float(value))
            columns[2].append(time)
        self._reached(step)
        self.last_seen = max(self.last_seen, time)

    def _take(self, record: LogRecord) -> None:
        match record:
            case Started():
                self._start(record)
            case MediaLogged():
                self.media.add(record.name, record.step, record.media)
                self._reached(record.step)
            case CommandDone():
                self._intervene(record)
            case CheckpointWritten():
                self._checkpoints.setdefault(record.checkpoint.name, record.checkpoint)
            case CheckpointDeleted():
                self._checkpoints.pop(record.name, None)
            case StatusChanged():
                self.status = record
                self.summary |= record.summary
                if record.step is not None:
                    self._reached(record.step)
            case Notice():
                self.notices.append(record.message)
        if not isinstance(record, Metrics):
            self.last_seen = max(self.last_seen, record.at.timestamp())

    def _reached(self, step: int) -> None:
        if self.last_step is None or step > self.last_step:
            self.last_step = step

    def _start(self, record: Started) -> None:
        if not self.attempts:
            self.values = dict(record.values)
        self.attempts.append(Attempt(record.attempt, record.at, record.next_step))
        self.status = None
        self.total_steps = record.total_steps
        # What changed since the checkpoint that it goes on from is redone without a word.
        self.values = dict(record.values) | self.values
        for name, value in curve_points(record.values).items():
            self._parameters.setdefault(name, {record.next_step: value})

    def _intervene(self, record: CommandDone) -> None:
        command, receipt = record.command, record.receipt
        if record.total_steps is not None:
            self.total_steps = record.total_steps
        if receipt.seq in self._seen:
            return
        self._seen.add(receipt.seq)
        for row in intervention_rows(command, receipt):
            named: dict[str, JsonValue] = dict(zip(COLUMNS, row, strict=True))
            self.interventions.append(Intervention(**named, time=receipt.at))  # type: ignore[arg-type]
        # What other commands tell of may be called as a parameter is: `status`, `step`.
        changes = isinstance(command.action, SetParameters | Fork) and not command.dry_run
        if receipt.state is CommandState.APPLIED and changes and receipt.step is not None:
            self._change(receipt.step, receipt.before, receipt.after)

    def _change(
        self, step: int, before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
    ) -> None:
        """A step in each curve: the old value at the boundary's step, the new one after it."""
        self.values |= after
        old = curve_points({name: before[name] for name in after if name in before})
        new = curve_points(after)
        for name in {**old, **new}:
            points = self._parameters.setdefault(name, {})
            if name in old and step >= 0:
                points[step] = old[name]
            if name in new:
                points[step + 1] = new[name]

    def _drawn(self, points: Mapping[int, float]) -> Series:
        """A parameter's curve, which goes on to the last step: it holds until it changes."""
        drawn = dict(sorted(points.items()))
        *_, last = drawn.items()
        if self.last_step is not None and self.last_step > last[0]:
            drawn[self.last_step] = last[1]
        return as_said([*drawn], [*drawn.values()])


def read_run_log(path: Path) -> RunLog:
    """All that a run log says.

    Raises:
        OSError: it cannot be read.
    """
    log = RunLog()
    log.read(path)
    return log
