"""The numbers that a run logged."""

from pydantic import Field

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.names import RunId
from midcourse.contract.records import MetricValue


class MetricsQuery(Record):
    """Query of `GET /runs/{id}/metrics`."""

    keys: str | None = None
    """Metric names with commas between; absent: all."""
    since_step: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Only steps from this one on."""
    limit: int = Field(default=10_000, ge=1, le=100_000)
    """The most points for each metric, the earliest first."""


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
