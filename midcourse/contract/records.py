"""The run log: what a trainer says, one JSON record a line, in `runlog.jsonl`.

The log only grows. A trainer that is restarted redoes steps and says again what it said before;
a reader keeps the first value of each (metric, step), (media, step) and (receipt, seq), which the
redo repeats bit for bit. Trackers, the control API and the console are projections of this log.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from midcourse.contract.base import MAX_INTEGER, Record, strict_json_loads
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.commands import Command
from midcourse.contract.datasets import Dataset
from midcourse.contract.live_parameter import LiveParameter
from midcourse.contract.media import Media
from midcourse.contract.names import CheckpointName
from midcourse.contract.receipts import Receipt
from midcourse.contract.runs import RunFile, RunStatus

Moment = Annotated[datetime, Field(strict=False)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
MetricValue = float | Literal["NaN", "Infinity", "-Infinity"]
"""JSON has no word for a loss that became NaN; it must be seen all the same."""


class Started(Record):
    """An attempt is about to take its first step."""

    type: Literal["started"] = "started"
    at: Moment
    attempt: int
    run: RunFile
    next_step: Count
    """0 for a fresh run; later after a crash or in a fork."""
    total_steps: Count | None = None
    """How many steps the branch will have in all, where it is known."""
    parameters: list[LiveParameter]
    values: dict[str, JsonValue]


class Metrics(Record):
    """Numbers of one step. Written without this class on the hot path; see `midcourse.runlog`."""

    type: Literal["metrics"] = "metrics"
    time: float
    """Seconds since 1970."""
    step: Count
    values: dict[str, MetricValue]


class MediaLogged(Record):
    """A picture or table of one step."""

    type: Literal["media"] = "media"
    at: Moment
    step: Count
    name: str
    media: Media


class DatasetUsed(Record):
    """What the run trains on. Said again by each attempt."""

    type: Literal["dataset"] = "dataset"
    at: Moment
    dataset: Dataset


class CommandDone(Record):
    """A command reached its end; the receipt says which."""

    type: Literal["receipt"] = "receipt"
    at: Moment
    command: Command
    receipt: Receipt
    total_steps: Count | None = None


class CheckpointWritten(Record):
    """A checkpoint is on disk, whole and verified."""

    type: Literal["checkpoint"] = "checkpoint"
    at: Moment
    checkpoint: CheckpointRecord


class CheckpointFailed(Record):
    """A checkpoint could not be written; training went on."""

    type: Literal["checkpoint_failed"] = "checkpoint_failed"
    at: Moment
    name: CheckpointName
    reason: str


class CheckpointDeleted(Record):
    """Retention removed a checkpoint."""

    type: Literal["checkpoint_deleted"] = "checkpoint_deleted"
    at: Moment
    name: CheckpointName


class StatusChanged(Record):
    """The run paused, went on, or ended."""

    type: Literal["status"] = "status"
    at: Moment
    status: Annotated[RunStatus, Field(strict=False)]
    step: Count | None = None
    """The last step completed; null where none was."""
    reason: str | None = None
    summary: dict[str, JsonValue] = Field(default_factory=dict)
    """Final values for people, given by the program."""


class Notice(Record):
    """Something that a person should know and that changed nothing."""

    type: Literal["notice"] = "notice"
    at: Moment
    message: str


LogRecord = Annotated[
    Started
    | Metrics
    | MediaLogged
    | DatasetUsed
    | CommandDone
    | CheckpointWritten
    | CheckpointFailed
    | CheckpointDeleted
    | StatusChanged
    | Notice,
    Field(discriminator="type"),
]

_adapter: TypeAdapter[Any] = TypeAdapter(LogRecord)
_METRICS_BEGIN = b'{"type":"metrics",'
_KEYS_BESIDE_VALUES = len(Metrics.model_fields)


def parse_record(line: str | bytes) -> LogRecord:
    """One line of a run log.

    Raises:
        ValueError: the line is no record (`pydantic.ValidationError` is one).
    """
    if isinstance(line, bytes) and line.startswith(_METRICS_BEGIN):
        metrics = _plain_metrics(line)
        if metrics is not None:
            return metrics
    record: LogRecord = _adapter.validate_python(strict_json_loads(line))
    return record


def _plain_metrics(line: bytes) -> Metrics | None:
    """Most lines are numbers as our writer spells them, and are read several times as fast so.

    None: it may be something else; a key that stands twice, which this parser would not see.
    """
    try:
        metrics = Metrics.model_validate_json(line)
    except ValidationError:
        return None
    return metrics if line.count(b'":') == len(metrics.values) + _KEYS_BESIDE_VALUES else None
