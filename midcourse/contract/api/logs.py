"""What a run's trainer printed."""

from typing import Self

from pydantic import Field, model_validator

from midcourse.contract.api.values import Flag
from midcourse.contract.base import MAX_INTEGER, Record


class LogsQuery(Record):
    """Query of `GET /runs/{id}/logs`."""

    tail: int | None = Field(default=None, ge=0, le=100_000)
    """Begin with so many of the last lines; 0: with what is printed from now on."""
    offset: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Begin at this byte, such as where an earlier answer ended. Without either: with all."""
    follow: Flag = False
    """Go on with what is printed until the run has ended."""

    @model_validator(mode="after")
    def _begins_at_one_place(self) -> Self:
        if self.tail is not None and self.offset is not None:
            raise ValueError("tail and offset exclude each other: give one of them")
        return self
