"""From the run log to a tracker: records in, rows and descriptions out. No clock, no files."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from midcourse.contract.commands import Fork, Revert, SetParameters, Undo
from midcourse.contract.datasets import Dataset
from midcourse.contract.dotted import nested
from midcourse.contract.interventions import MARKER, TABLE, curve_points, headline
from midcourse.contract.names import checkpoint_step
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointWritten,
    CommandDone,
    DatasetUsed,
    LogRecord,
    MediaLogged,
    Metrics,
    Started,
    StatusChanged,
)
from midcourse.contract.runs import ENDED, RunStatus
from midcourse.tracking.alerts import Alert, alert_of_command, alert_of_status
from midcourse.tracking.best import BestValues
from midcourse.tracking.interventions import Interventions
from midcourse.tracking.marked_curve import CHART, CurveKeeper
from midcourse.tracking.rows import RowQueue
from midcourse.tracking.shelf import Shelf
from midcourse.tracking.tracker import Row, Tracker
from midcourse.version import __version__

CLOSING = ENDED | {RunStatus.INTERRUPTED, RunStatus.SUSPENDED}
"""Statuses after which the trainer's process says nothing more."""
_FINAL = ENDED - {RunStatus.FAILED}
"""A failed run may be started again, once its program is mended."""


class Follower:
    """Follows one run from the first byte of its log on.

    A tracker that takes over from an earlier one is fed the whole log again: the same records make
    the same rows, and those below `Tracker.first_position` are known to be there.
    """

    def __init__(
        self, open_tracker: Callable[[Started], Tracker], shelf: Shelf | None = None
    ) -> None:
        """The tracker is opened when the log says what run it is."""
        self._open_tracker = open_tracker
        self.shelf = shelf or Shelf()
        self.tracker: Tracker | None = None
        self.status: RunStatus | None = None
        """The last status since the last start; None while it simply runs."""
        self._started: Started | None = None
        self._last_status: StatusChanged | None = None
        self._values: dict[str, JsonValue] = {}
        self._changes: list[tuple[int, dict[str, JsonValue]]] = []
        """What was changed at which boundary. A restarted trainer redoes it without a word."""
        self._rows = RowQueue()
        self._interventions = Interventions()
        self._best = BestValues()
        self._curve = CurveKeeper()
        self._dataset: Dataset | None = None
        self.last_position: int | None = None
        """Where the newest row stands that was let go; None before the first."""
        self.row_count = 0
        """How many rows were let go."""

    def feed(self, records: Sequence[LogRecord]) -> None:
        """Take the next records of the log."""
        for record in records:
            self._take(record)
        if self.tracker is not None and (news := self._best.news()):
            self.tracker.summarize(news)

    def close(self, *, goes_on: bool = False) -> RunStatus:
        """Let go of what can be known to be complete, and say how the run stands.

        Args:
            goes_on: a later attempt of the run is at work, maybe in the middle of the newest step.

        Returns:
            How the run ended; `interrupted` where its trainer went away without a word.
        """
        status = self.status if self.status in CLOSING else RunStatus.INTERRUPTED
        assert status is not None
        if status in _FINAL:
            self._send(self._rows.close())
        elif self.status in CLOSING or not goes_on:
            self._send(self._rows.settle(self._rows.newest))
        if self.tracker is not None:
            self.tracker.summarize({**self._best.news(), **self._final_words(status)})
        return status

    def _take(self, record: LogRecord) -> None:
        match record:
            case Started():
                self._start(record)
            case Metrics():
                values = {name: float(value) for name, value in record.values.items()}
                self._send(self._rows.add(record.step, record.time, values, {}))
            case MediaLogged():
                media = {record.name: record.media}
                self._send(self._rows.add(record.step, record.at.timestamp(), {}, media))
            case DatasetUsed():
                self._use(record.dataset)
            case CommandDone():
                self._intervene(record)
            case CheckpointWritten():
                self.shelf.written(record.checkpoint)
            case CheckpointDeleted():
                self.shelf.deleted(record.name)
            case StatusChanged():
                self._change_status(record)

    def _start(self, record: Started) -> None:
        if self.tracker is None:
            self.tracker = self._open_tracker(record)
            if record.run.origin is not None:
                self.tracker.use_checkpoint(record.run.origin)
        else:
            # The earlier attempt may have ended without a word; its tracker closed with this row.
            self._send(self._rows.settle(self._rows.newest))
        self._started = record
        self.status = None
        self._values = dict(record.values)
        for step, new in self._changes:
            if step >= record.next_step - 1:
                self._values |= new
        points = curve_points(self._values)
        self._rows.annotate(record.next_step, record.at.timestamp(), points, {})
        self._describe()

    def _use(self, dataset: Dataset) -> None:
        if self.tracker is not None and dataset != self._dataset:
            self._dataset = dataset
            self.tracker.use_dataset(dataset)
            self._describe()

    def _intervene(self, record: CommandDone) -> None:
        receipt = record.receipt
        if not self._interventions.add(record.command, receipt):
            return
        assert self._started is not None
        self._tell(alert_of_command(self._started.run, record))
        match record.command.action:
            case Revert() | Undo() if receipt.state is CommandState.APPLIED:
                self.shelf.went_back_to(str(receipt.after.get("checkpoint")))
        moment = receipt.at.timestamp()
        # What other commands tell of may be called as a parameter is: `status`, `step`.
        changes = isinstance(record.command.action, SetParameters | Fork)
        if receipt.state is CommandState.APPLIED and changes:
            self._change_values(receipt, list(receipt.after))
        step = self._rows.newest if receipt.step is None else receipt.step
        place = max(step, self._rows.gone + 1, 0)
        marker = {MARKER: float(receipt.seq)}
        self._rows.annotate(place, moment, marker, {TABLE: self._interventions.table()})
        if receipt.state is CommandState.APPLIED:
            self._curve.mark(receipt.seq, max(step, 0), headline(record.command, receipt))
            self._draw_curve(place)

    def _draw_curve(self, step: int) -> None:
        """The loss so far, with what was done to the run; the first value of a step stays."""
        chart, moment = self._curve.chart(), self._rows.time_of(step)
        if chart is not None and moment is not None:
            self._rows.annotate(step, moment, {}, {CHART: chart})

    def _change_values(self, receipt: Receipt, names: Sequence[str]) -> None:
        """Draw a step in each curve: the old value at the boundary's step, the new one after it."""
        if not names or receipt.step is None:
            return
        moment = receipt.at.timestamp()
        old = {name: receipt.before[name] for name in names if name in receipt.before}
        new = {name: receipt.after[name] for name in names}
        self._rows.annotate(receipt.step, moment, curve_points(old), {})
        self._rows.annotate(receipt.step + 1, moment, curve_points(new), {})
        self._values |= new
        self._changes.append((receipt.step, new))
        self._describe()

    def _change_status(self, record: StatusChanged) -> None:
        self._last_status = record
        self.status = record.status
        if self._started is not None:
            self._tell(alert_of_status(self._started.run, record))
        if record.status in _FINAL:
            self._draw_curve(self._rows.newest)
            self._send(self._rows.close())
        elif record.status is not RunStatus.RUNNING and record.step is not None:
            self._send(self._rows.settle(record.step))
        if self.tracker is not None and record.summary:
            self.tracker.summarize(record.summary)

    def _tell(self, alert: Alert | None) -> None:
        if alert is not None and self.tracker is not None:
            self.tracker.alert(alert)

    def _final_words(self, status: RunStatus) -> dict[str, JsonValue]:
        last = self._last_status
        reason = last.reason if last is not None and last.status is status else None
        return {
            "midcourse/status": status.value,
            "midcourse/last_step": self._rows.newest if self._rows.newest >= 0 else None,
            **({"midcourse/reason": reason} if reason else {}),
        }

    def _describe(self) -> None:
        assert self._started is not None
        assert self.tracker is not None
        about = about_run(self._started, self._values)
        if self._dataset is not None:
            about["dataset"] = self._dataset.model_dump(mode="json", exclude={"labels"})
        self.tracker.describe(about)

    def _send(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._best.see(row)
            self._curve.see(row.step, row.values)
            self.last_position = row.position
            self.row_count += 1
            if self.tracker is not None and row.position >= self.tracker.first_position:
                self.tracker.log(row)


def about_run(started: Started, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What is told of a run beside its own configuration."""
    run = started.run
    origin = run.origin
    return {
        "run": run.id,
        "attempt": started.attempt,
        "seed": run.seed,
        "replay": run.replay,
        "version": __version__,
        "origin": None
        if origin is None
        else {
            "run": origin.run,
            "checkpoint": origin.checkpoint,
            "step": checkpoint_step(origin.checkpoint),
            "changes": dict(origin.changes),
            "actor": origin.actor,
            "revert": origin.revert,
        },
        "parameters": nested(values),
    }
