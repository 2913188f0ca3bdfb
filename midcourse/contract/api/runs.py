"""Submitting runs and looking at them."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, PlainValidator, WithJsonSchema

from midcourse.contract.api import examples
from midcourse.contract.api.values import (
    Flag,
    Links,
    Notes,
    Priority,
    RunName,
    Tag,
    Tags,
)
from midcourse.contract.base import Record, with_examples
from midcourse.contract.commands import Changes
from midcourse.contract.names import CheckpointName, Experiment, RunId
from midcourse.contract.records import MetricValue, Moment
from midcourse.contract.runs import RunStatus, TrackingStatus


def _parse_statuses(said: Any) -> tuple[RunStatus, ...]:
    words = [word.strip() for word in said.split(",")] if isinstance(said, str) else said
    known = [status.value for status in RunStatus]
    if not isinstance(words, list | tuple) or not words or not {*words} <= {*known}:
        raise ValueError(
            f"must be statuses with commas between, of {', '.join(known)}; not {said!r}"
        )
    return tuple(RunStatus(word) for word in words)


def _parse_archived(said: Any) -> Any:
    return {True: "true", False: "false"}[said] if isinstance(said, bool) else said


Statuses = Annotated[
    tuple[RunStatus, ...],
    PlainValidator(_parse_statuses),
    WithJsonSchema({"type": "string", "examples": ["running,paused"]}),
]
"""Statuses with commas between."""

_NO_NUL = r"^[^\x00]+$"


_WhichArchived = Literal["false", "true", "any"]
Archived = Annotated[
    _WhichArchived,
    BeforeValidator(_parse_archived, json_schema_input_type=_WhichArchived | bool),
]
"""In JSON also `false` and `true` themselves."""


class RunFilter(Record):
    """Which runs are meant. They must meet all of it; deleted runs never do."""

    status: Statuses | None = None
    """One of these, with commas between."""
    experiment: Experiment | None = None
    """Those that belong to it."""
    tag: Tag | None = None
    """Those that have it."""
    sweep: Annotated[str, Field(max_length=63, pattern=_NO_NUL)] | None = None
    """Those that were submitted together."""
    parent: RunId | None = None
    """Those that come from this run."""
    prefix: RunId | None = None
    """Those whose id begins so."""
    archived: Archived = "false"
    """Those that are not archived, those that are, or both (`any`)."""
    where: Annotated[str, Field(max_length=4000, pattern=_NO_NUL)] | None = None
    """Conditions with commas between, such as `metrics.test/accuracy>=0.9,config.seed=1`."""


class RunsQuery(RunFilter):
    """Query of `GET /runs`."""

    sort: Annotated[str, Field(max_length=1000, pattern=_NO_NUL)] = "-created_at"
    """Fields with commas between, `-` before one for descending."""
    limit: int = Field(default=50, ge=1, le=500)
    """How many runs are on a page."""
    cursor: Annotated[str, Field(max_length=20_000)] | None = None
    """`next_cursor` of the page before."""


class EditRun(Record):
    """Body of `PATCH /runs/{id}`: what is not named stays as it is."""

    model_config = with_examples({"notes": "noisy until step 400", "tags": ["baseline"]})

    name: RunName | None = None
    """Null takes the name away."""
    notes: Notes | None = None
    """Null takes the notes away."""
    tags: Tags = Field(default_factory=list)
    """All of them, in place of those that there are."""
    priority: Priority = 0
    archived: bool = False
    """Out of sight, but all there: lists leave it out unless they are asked."""


class DeleteQuery(Record):
    """Query of `DELETE /runs/{id}`."""

    dry_run: Flag = False
    """Only say what would go."""


class OriginView(Record):
    """Where a forked run comes from."""

    model_config = with_examples(examples.ORIGIN)

    run: RunId
    checkpoint: CheckpointName | None
    """Null while it is still being taken (a fork from `now`), or fetched from W&B."""
    changes: Changes
    warm_start: bool
    """Its configuration was edited: weights are kept by name and shape, the others are new."""
    actor: str
    revert: bool


class RunView(Record):
    """A run, as the control API knows it."""

    model_config = with_examples(examples.RUN)

    id: RunId
    experiment: Experiment
    name: str | None
    status: Annotated[RunStatus, Field(strict=False)]
    priority: int
    sweep: str | None
    """The submission of many configurations that it came with."""
    slot: str | None
    """The place that it trains in."""
    image: str | None
    """The container image that it brought; null: the usual one, or no container."""
    command: list[str] | None
    """The program that it brought; null: the bundled trainer."""
    queue_position: int | None
    """Its place among those that wait for a slot, from 1; null where it does not."""
    waits_for: str | None
    """What it waits for while it is queued, in a sentence."""
    tags: list[str]
    notes: str | None
    archived_at: Moment | None
    config: dict[str, JsonValue]
    origin: OriginView | None
    source: str | None
    """Where it comes from in W&B. Of a fork from there: which checkpoint it was asked to start
    from, `entity/project/run@best`. Of an imported run: that run, `entity/project/run`."""
    replay: RunId | None
    """The run whose journal it is fed, where it is a replay."""
    step: int | None
    """The last step completed; null where none was."""
    epoch: int | None
    total_steps: int | None
    steps_per_second: float | None
    eta_seconds: float | None
    """Null unless it is running and the rate is known."""
    metrics: dict[str, MetricValue]
    """The latest value of each."""
    values: dict[str, JsonValue]
    """Live parameters, as last read back from the live objects, without those that have no meaning
    for what the run has chosen."""
    revision: int
    attempt: int
    """How many times a trainer was started for it."""
    error: str | None
    """Why it failed."""
    notice: str | None
    """The last thing that its trainer wanted a person to know."""
    summary: dict[str, JsonValue]
    tracking: TrackingStatus | None
    checkpoints: int
    created_by: str
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    heartbeat_at: Moment | None
    links: Links


class RunsAnswer(Record):
    """Answer of `GET /runs`."""

    model_config = with_examples({"runs": [examples.RUN], "total": 1, "next_cursor": None})

    runs: list[RunView]
    total: int
    """How many there are on all pages together."""
    next_cursor: str | None
    """Where the next page begins; null at the end."""


class KeptCheckpoint(Record):
    """A checkpoint that outlives its run."""

    name: CheckpointName
    needed_by: list[RunId]
    """The runs that came from it."""


class FreedCheckpoint(Record):
    """A checkpoint of a run deleted before, which was kept for this one alone."""

    run: RunId
    name: CheckpointName


class FolderEntry(Record):
    """A file of a run's folder, or a folder in it with all that it holds."""

    path: str
    bytes: int


class Deletion(Record):
    """Answer of `DELETE /runs/{id}`: what went, or would go, and what stays."""

    model_config = with_examples(examples.DELETION)

    run: RunId
    dry_run: bool
    deleted_at: Moment | None
    """Null of a dry run."""
    checkpoints_gone: list[CheckpointName]
    checkpoints_kept: list[KeptCheckpoint]
    checkpoints_freed: list[FreedCheckpoint]
    files: list[FolderEntry]
    """What goes of its folder, the largest first."""
    bytes_freed: int
    metrics: int
    """How many names of metrics lose their points."""
    media: int
    """How many pictures and tables go."""
    children: list[RunId]
    """The runs that come from it; they stay, and so does what they need."""
