"""Submitting runs and looking at them."""

from typing import Annotated

from pydantic import Field, JsonValue

from midcourse.contract.api.values import Links, RunName
from midcourse.contract.base import Record
from midcourse.contract.commands import Changes
from midcourse.contract.names import CheckpointName, Experiment, RunId
from midcourse.contract.records import MetricValue, Moment
from midcourse.contract.runs import RunStatus, TrackingStatus


class SubmitRun(Record):
    """Body of `POST /runs`."""

    config: dict[str, JsonValue]
    """The trainer's parameters, as `python -m trainer params.json` takes them."""
    experiment: Experiment | None = None
    """Groups runs; the config's `experiment` where it is not given here."""
    name: RunName | None = None


class RunsQuery(Record):
    """Query of `GET /runs`."""

    status: Annotated[RunStatus, Field(strict=False)] | None = None
    experiment: Experiment | None = None


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
