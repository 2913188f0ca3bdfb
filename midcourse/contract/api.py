"""What clients send to the control API and get from it: request bodies, queries and answers.

The link between a trainer and the control API has a module of its own, `contract.link`.
"""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, JsonValue, PlainValidator

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.commands import Action, At, Changes
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
LayerPattern = Annotated[str, Field(min_length=1, max_length=500)]

MAX_KEY_LENGTH = 200
"""The most characters of an `Idempotency-Key`."""


def parse_at(text: Any) -> At:
    """When a command acts, as queries say it: `step:500` or `epoch:3`.

    Raises:
        ValueError: in one sentence, what is allowed.
    """
    if isinstance(text, At):
        return text
    said = re.fullmatch(r"(step|epoch):([0-9]{1,16})", text) if isinstance(text, str) else None
    if said is None or int(said[2]) > MAX_INTEGER:
        raise ValueError(
            f"must be step:N or epoch:N, such as step:500, N being a whole number from 0 to "
            f"{MAX_INTEGER}; not {text!r}"
        )
    return At.model_validate({said[1]: int(said[2])})


def _parse_flag(text: Any) -> bool:
    if text not in ("true", "false", True, False):
        raise ValueError(f"must be true or false, not {text!r}")
    return text in ("true", True)


When = Annotated[At, PlainValidator(parse_at)]
Flag = Annotated[bool, PlainValidator(_parse_flag)]


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
    changes: Changes = Field(default_factory=dict)
    """Live parameters that the fork starts with; they win over what the checkpoint holds."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    """What differs in the configuration, merged into the parent's as RFC 7396 has it: null
    deletes. With it the model may be another: weights are kept by name and shape."""
    name: RunName | None = None


class RevertRun(Record):
    """Body of `POST /runs/{id}/revert`."""

    checkpoint: str = Field(max_length=100)
    """`latest`, `best`, `initial` or `step-N`."""
    changes: Changes = Field(default_factory=dict)


class ResumeRun(Record):
    """Body of `POST /runs/{id}/resume`; may be empty."""

    steps: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    """Go on for so many steps, then pause. Absent: go on."""


class ReinitialiseLayers(Record):
    """Body of `POST /runs/{id}/reinitialise`."""

    layers: list[LayerPattern] = Field(min_length=1, max_length=1000)
    """Patterns of layer names, such as `classifier` or `features.*`."""


class ReplayRun(Record):
    """Body of `POST /runs/{id}/replay`; may be empty."""

    name: RunName | None = None


class Nothing(Record):
    """Body of the verbs that need none: empty, or `{}`."""


class ReasonQuery(Record):
    """Query of the addresses that ask for something."""

    reason: Reason | None = None
    """Why, in the actor's words; kept with the command."""


class ForkQuery(ReasonQuery):
    """Query of `POST /runs/{id}/fork`."""

    dry_run: Flag = False
    """Only say what would be made."""


class CommandQuery(ForkQuery):
    """Query of every address that makes a command."""

    at: When | None = None
    """`step:N` or `epoch:N`: act at the boundary at which it is complete."""


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
    changes: Changes
    warm_start: bool
    """Its configuration was edited: weights are kept by name and shape, the others are new."""
    actor: str
    revert: bool


class ForkPreview(Record):
    """Answer of a fork's dry run: what would be made."""

    origin: OriginView
    config: dict[str, JsonValue]


class RunView(Record):
    """A run, as the control API knows it."""

    id: RunId
    experiment: Experiment
    name: str | None
    status: Annotated[RunStatus, Field(strict=False)]
    config: dict[str, JsonValue]
    origin: OriginView | None
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
    at: At | None
    """When it is to act, where it is scheduled."""
    dry_run: bool
    state: Annotated[CommandState, Field(strict=False)]
    accepted_at: Moment
    delivered_at: Moment | None
    receipt: Receipt | None
    links: Links


class CommandsView(Record):
    """Answer of `GET /runs/{id}/commands`, in the order in which they were asked for."""

    commands: list[CommandView]


class JournalEntry(Record):
    """One line of `GET /runs/{id}/journal`: a command that has its receipt."""

    run: RunId
    seq: int
    actor: str
    action: Action
    reason: str | None
    """Why it was asked for."""
    accepted_at: Moment
    at: At | None
    state: Annotated[CommandState, Field(strict=False)]
    step: int | None
    """The boundary at which it acted."""
    before: dict[str, JsonValue]
    after: dict[str, JsonValue]
    details: dict[str, JsonValue]
    why: str | None
    """Why it did not act, where it did not."""
    ended_at: Moment
    """When its receipt was written."""


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
