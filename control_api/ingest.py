"""Run log into tables: what a trainer said becomes what the API knows.

Used for what the link ships, and for what the reconciler reads from a run's folder. A restarted
trainer says again what it redoes: the first metric, picture and receipt of each key is kept, and
what describes the present (status, values, step) follows the log.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.children import learn_origin
from control_api.database import Database
from control_api.dialects import storable_text
from control_api.journal import in_order_of_acting
from control_api.lifecycle import end_run, get_run, settle_command
from control_api.log_lines import Line, parse_lines, whole_lines
from control_api.metric_store import MAX_KEY_LENGTH, MetricBatch, store_metrics
from control_api.metric_values import metric_value
from control_api.own_commands import take_own_command
from control_api.rows import insert_new
from control_api.tables import CheckpointRow, CommandRow, MediaRow, RunRow
from control_api.wishes import suspended_by_itself
from midcourse.contract.commands import CHANGING, FORK_SEQ, Action
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointFailed,
    CheckpointWritten,
    CommandDone,
    DatasetUsed,
    MediaLogged,
    Metrics,
    Notice,
    Started,
    StatusChanged,
)
from midcourse.contract.runs import ENDED, RunStatus

log = logging.getLogger(__name__)

_ACTION: TypeAdapter[Any] = TypeAdapter(Action)


@dataclass(frozen=True)
class Taken:
    """What a report brought that comes in numbers, and is stored together."""

    metrics: MetricBatch
    media: list[dict[str, Any]]


def take(session: Session, run: RunRow, lines: Iterable[Line]) -> Taken:
    """Take lines that begin at the run's `log_offset`, and advance it; `store` does the rest.

    A line that is no record is skipped and noted on the run: it must not hold up what follows.
    """
    report = _Report(session, run)
    offset = run.log_offset
    for line in lines:
        if line.record is None:
            run.notice = f"The run log has a damaged line at byte {offset}; it is skipped"
            log.warning("run %s: %s: %s", run.id, run.notice, line.fault)
        else:
            _HANDLERS[type(line.record)](report, line.record)
        offset += line.length
    return report.taken(offset)


def store(session: Session, taken: Iterable[Taken]) -> None:
    """Write what reports brought, of one run or of many: a few statements for all."""
    taken = list(taken)
    store_metrics(session, [each.metrics for each in taken])
    insert_new(session, MediaRow, [row for each in taken for row in each.media])


def ingest_file(database: Database, home: Path, run_id: str) -> None:
    """Take what a run's log holds beyond what is stored, however much it is."""
    path = RunPaths(home, run_id).run_log
    while True:
        with database.reading() as session:
            offset = get_run(session, run_id).log_offset
        data = whole_lines(path, offset)
        if not data:
            return
        lines = parse_lines(data)
        with database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.log_offset == offset:  # else the link was faster
                store(session, [take(session, run, lines)])


class _Report:
    """The records of one report; rows that come in numbers are gathered."""

    def __init__(self, session: Session, run: RunRow) -> None:
        self.session = session
        self.run = run
        self._metrics = MetricBatch(run.id, run.log_offset)
        self._media: list[dict[str, Any]] = []
        self._latest = dict(run.latest)

    def taken(self, end: int) -> Taken:
        """What was gathered, once all is taken up to a byte of the log."""
        self.run.log_offset = end
        self.run.latest = self._latest
        self._metrics.end = end
        self._metrics.last = self.run.status in ENDED
        return Taken(self._metrics, self._media)

    def started(self, record: Started) -> None:
        run = self.run
        run.declared = [row.model_dump(mode="json") for row in record.parameters]
        self._set_values(record.values | self._redone(record.next_step))
        run.total_steps = record.total_steps
        run.step = record.next_step - 1 if record.next_step else None
        run.started_at = run.started_at or record.at
        if run.status not in ENDED:
            run.status = RunStatus.RUNNING
        if run.reverts and record.run.origin is not None:
            learn_origin(run, record.run.origin)

    def metrics(self, record: Metrics) -> None:
        said, latest, step = self._metrics.said, self._latest, record.step
        for key, value in record.values.items():
            if key not in said:
                key = storable_text(key)
                if len(key) > MAX_KEY_LENGTH:
                    self._note(
                        f"The metric {key[:40]}… is not kept: its name has more than "
                        f"{MAX_KEY_LENGTH} characters"
                    )
                    continue
                said.setdefault(key, ([], []))
            number = float(value)
            steps, values = said[key]
            steps.append(step)
            values.append(number)
            if key not in latest or latest[key][0] <= step:
                latest[key] = [step, metric_value(number)]

    def media(self, record: MediaLogged) -> None:
        media = record.media.model_dump(mode="json")
        self._media.append(
            {"run_id": self.run.id, "name": record.name, "step": record.step, "media": media}
        )

    def command_done(self, record: CommandDone) -> None:
        receipt = record.receipt
        if record.total_steps is not None:
            self.run.total_steps = record.total_steps
        if receipt.state is CommandState.APPLIED:
            self._set_values(self.run.live_values | self._read_back(record.command.action, receipt))
        row = self.session.get(CommandRow, (self.run.id, receipt.seq))
        if row is not None:
            if row.state not in FINAL_STATES:
                settle_command(self.session, row, receipt)
        elif receipt.seq <= FORK_SEQ:
            take_own_command(self.session, self.run, record.command, receipt)
        else:
            log.warning("run %s: a receipt for command %d, unknown", self.run.id, receipt.seq)

    def checkpoint_written(self, record: CheckpointWritten) -> None:
        checkpoint = record.checkpoint
        row = self.session.get(CheckpointRow, (self.run.id, checkpoint.name))
        if row is None:
            row = CheckpointRow(
                run_id=self.run.id,
                name=checkpoint.name,
                step=checkpoint.step,
                best=checkpoint.best,
                record=checkpoint.model_dump(mode="json"),
            )
            self.session.add(row)
        row.deleted_at = None  # a redo writes again what was deleted before the crash

    def checkpoint_deleted(self, record: CheckpointDeleted) -> None:
        row = self.session.get(CheckpointRow, (self.run.id, record.name))
        if row is not None:
            row.deleted_at = record.at

    def checkpoint_failed(self, record: CheckpointFailed) -> None:
        self._note(f"Checkpoint {record.name} could not be written: {record.reason}")

    def notice(self, record: Notice) -> None:
        self._note(record.message)

    def status_changed(self, record: StatusChanged) -> None:
        run = self.run
        if run.status in ENDED:
            return
        if record.step is not None:
            run.step = record.step
        if record.summary:
            run.summary = dict(record.summary)
        if record.status is RunStatus.FAILED:
            end_run(self.session, run, record.status, error=record.reason, at=record.at)
            return
        run.notice = record.reason or run.notice
        if record.status in ENDED:
            end_run(self.session, run, record.status, at=record.at)
        else:
            run.status = record.status
        if record.status is RunStatus.SUSPENDED:
            suspended_by_itself(self.session, run)

    def _redone(self, next_step: int) -> dict[str, Any]:
        """What a restarted trainer sets again on its way to where it was before.

        Its journal tells it to, and it need not say so again: the receipts are here.
        """
        rows = self.session.scalars(
            select(CommandRow).where(
                CommandRow.run_id == self.run.id, CommandRow.state == CommandState.APPLIED
            )
        )
        values: dict[str, Any] = {}
        for row in in_order_of_acting(rows):
            receipt = Receipt.model_validate(row.receipt)
            if (receipt.step or 0) >= next_step - 1:
                values |= self._read_back(_ACTION.validate_python(row.action), receipt)
        return values

    def _read_back(self, action: Action, receipt: Receipt) -> dict[str, Any]:
        """The live parameters that a receipt tells of."""
        if not isinstance(action, CHANGING):
            return {}
        declared = {row["name"] for row in self.run.declared or []}
        return {key: value for key, value in receipt.after.items() if key in declared}

    def _set_values(self, values: dict[str, Any]) -> None:
        if values != self.run.live_values:
            self.run.live_values = dict(values)
            self.run.revision += 1

    def _note(self, message: str) -> None:
        self.run.notice = message
        log.warning("run %s: %s", self.run.id, message)

    def dataset_used(self, record: DatasetUsed) -> None:
        """For trackers alone; it is in the run's log."""


_HANDLERS: dict[type, Callable[[_Report, Any], None]] = {
    Started: _Report.started,
    Metrics: _Report.metrics,
    MediaLogged: _Report.media,
    CommandDone: _Report.command_done,
    CheckpointWritten: _Report.checkpoint_written,
    CheckpointDeleted: _Report.checkpoint_deleted,
    CheckpointFailed: _Report.checkpoint_failed,
    StatusChanged: _Report.status_changed,
    Notice: _Report.notice,
    DatasetUsed: _Report.dataset_used,
}
