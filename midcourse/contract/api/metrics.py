"""The numbers that a run logged."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from midcourse.contract.api import examples
from midcourse.contract.base import MAX_INTEGER, Record, with_examples
from midcourse.contract.names import RunId
from midcourse.contract.records import MetricValue


class MetricsQuery(Record):
    """Query of `GET /runs/{id}/metrics`."""

    DEFAULT_LIMIT: ClassVar[int] = 10_000

    keys: str | None = None
    r"""Metric names with commas between (`\,` is a comma in a name); absent: all."""
    since_step: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Only steps from this one on."""
    until_step: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Only steps up to this one."""
    max_points: int | None = Field(default=None, ge=10, le=100_000)
    """Tell each metric by at most so many points, the extremes among them. Absent: page by page."""
    limit: int | None = Field(default=None, ge=1, le=100_000)
    """The most points of each metric on a page, the earliest first; absent: 10,000. Not together
    with `max_points`, which has no pages."""

    @model_validator(mode="after")
    def _has_pages_or_not(self) -> Self:
        if self.max_points is not None and self.limit is not None:
            raise ValueError("max_points and limit exclude each other: give one of them")
        return self


class Series(Record):
    """One metric: `values[i]` was logged at `steps[i]`."""

    steps: list[int]
    values: list[MetricValue]
    next_step: int | None = None
    """Where to go on (`since_step`) if there was more than `limit`; null at the end."""


class MetricsAnswer(Record):
    """Answer of `GET /runs/{id}/metrics`."""

    model_config = with_examples(
        {"run": examples.RUN_ID, "metrics": {"train/batch_loss": examples.SERIES}}
    )

    run: RunId
    metrics: dict[str, Series]
