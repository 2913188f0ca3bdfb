"""What clients send to the control API and get from it: request bodies, queries and answers.

The link between a trainer and the control API has a module of its own, `contract.link`.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field, JsonValue

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.commands import Action
from midcourse.contract.names import CheckpointName, Experiment, RunId
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import MetricValue, Moment
from midcourse.contract.runs import RunStatus, TrackingStatus

MAX_WAIT_SECONDS = 60
"""The longest that `Prefer: wait=N` is honoured; more is taken as this."""

RunName = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]+$")]
"""Becomes an environment variable of the trainer, which cannot hold a NUL."""
Reason = Annotated[str, Field(min_length=1, max_length=2000)]
Links = dict[str, str]


class SubmitRun(Record):
    """Body of `POST /runs`."""

    config: dict[str, JsonValue]
    """The trainer's parameters, as `python -m trainer params.json` takes them."""
    experiment: Experiment | None = None
    """Groups runs; the config's `experiment` where it is not given here."""
    name: RunName | None = None


class ForkRun(Record):
    """Body of `POST /runs/{id}/fork`; may be empty."""

    checkpoint: str | None = Field(default=None, max_length=100)
    """`now`, `latest`, `best`, `initial` or `step-N`. Absent: `now` while the run is live, else
    `latest`."""
    changes: dict[str, JsonValue] = Field(default_factory=dict)
    """Live parameters that the fork starts with; they win over what the checkpoint holds."""
    name: RunName | None = None


class RevertRun(Record):
    """Body of `POST /runs/{id}/revert`."""

    checkpoint: str = Field(max_length=100)
    """`latest`, `best`, `initial` or `step-N`."""
    changes: dict[str, JsonValue] = Field(default_factory=dict)


class Nothing(Record):
    """Body of the verbs that need none: empty, or `{}`."""


class CommandQuery(Record):
    """Query of every address that makes a command."""

    reason: Reason | None = None
    """Why, in the actor's words; kept with the command."""


class RunsQuery(Record):
    """Query of `GET /runs`."""

    status: Annotated[RunStatus, Field(strict=False)] | None = None
    experiment: Experiment | None = None


class MetricsQuery(Record):
    """Query of `GET /runs/{id}/metrics`."""

    keys: str | None = None
    """Metric names with commas between; absent: all."""
    since_step: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Only steps from this one on."""
    limit: int = Field(default=10_000, ge=1, le=100_000)
    """The most points for each metric, the earliest first."""


class NoQuery(Record):
    """For addresses that take no query."""


class OriginView(Record):
    """Where a forked run comes from."""

    run: RunId
    checkpoint: CheckpointName | None
    """Null while the checkpoint is still being taken (a fork from `now`)."""
    changes: dict[str, JsonValue]
    actor: str
    revert: bool


class RunView(Record):
    """A run, as the control API knows it."""

    id: RunId
    experiment: Experiment
    name: str | None
    status: Annotated[RunStatus, Field(strict=False)]
    config: dict[str, JsonValue]
    origin: OriginView | None
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
    """Live parameters, as last read back from the live objects."""
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
    """Answer of `GET /runs`, the newest first."""

    runs: list[RunView]


class ParametersAnswer(Record):
    """Answer of `GET /runs/{id}/params`; the revision is also its `ETag`."""

    run: RunId
    revision: int
    """Grows with every edit accepted and every value changed; `If-Match` compares it."""
    values: dict[str, JsonValue]
    parameters_schema: dict[str, JsonValue] = Field(serialization_alias="schema")
    """JSON Schema (2020-12) of a `PATCH` of this address."""


class CommandView(Record):
    """A command, and what has become of it."""

    run: RunId
    seq: int
    action: Action
    actor: str
    reason: str | None
    state: Annotated[CommandState, Field(strict=False)]
    accepted_at: Moment
    delivered_at: Moment | None
    receipt: Receipt | None
    links: Links


class CommandsView(Record):
    """Answer of `GET /runs/{id}/commands`, in order."""

    commands: list[CommandView]


class CheckpointsAnswer(Record):
    """Answer of `GET /runs/{id}/checkpoints`, in order of their steps."""

    checkpoints: list[CheckpointRecord]


class Series(Record):
    """One metric: `values[i]` was logged at `steps[i]`."""

    steps: list[int]
    values: list[MetricValue]
    next_step: int | None = None
    """Where to go on (`since_step`) if there was more than `limit`; null at the end."""


class MetricsAnswer(Record):
    """Answer of `GET /runs/{id}/metrics`."""

    run: RunId
    metrics: dict[str, Series]


class Health(Record):
    """Answer of `GET /healthz`."""

    status: str
    version: str
    at: Annotated[datetime, Field(strict=False)]
