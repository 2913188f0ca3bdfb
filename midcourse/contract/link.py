"""What a trainer and the control API say to each other. The trainer always asks; nobody dials in.

`GET  /api/v1/runs/{id}/link/commands?attempt=&after=&wait=`   long-poll → `CommandsAnswer`
`POST /api/v1/runs/{id}/link/report?attempt=&offset=`          a report → `ReportAnswer`

A report says, about once a second, where the trainer is and what it has logged since. Its first
line is a `Heartbeat`, or empty for a run that has ended; whole lines of the run log follow, those
from byte `offset` on, if there are any. Lines that do not begin where the stored part ends answer
409 with the problem type `WRONG_OFFSET` and the right `next_offset`, and nothing of the report is
taken.

All carry the run's own bearer token. An attempt that is no longer the run's answers 409 with the
problem type `LOST_PLACE`: the trainer has been replaced and must end.
"""

from typing import Annotated, Final

from pydantic import Field

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.commands import Command
from midcourse.contract.runs import RunStatus, TrackingStatus

LOST_PLACE: Final = "/problems/lost-place"
WRONG_OFFSET: Final = "/problems/wrong-offset"
LOG_CHUNK_BYTES: Final = 1_000_000
"""The most run log that one request carries, unless one line alone is longer."""
LONG_POLL_SECONDS: Final = 30.0


class CommandsAnswer(Record):
    """Commands with `seq` above `after`, in order; empty when `wait` seconds passed without one."""

    commands: list[Command]


class ReportAnswer(Record):
    """How much of the run log the control API has stored."""

    next_offset: int = Field(ge=0)
    lease_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long the trainer may train on without an answer; then it takes a checkpoint and waits for
    one. Null: for as long as it takes."""


class Heartbeat(Record):
    """Where the trainer is."""

    status: Annotated[RunStatus, Field(strict=False)]
    step: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None
    """The last step completed."""
    epoch: Annotated[int, Field(ge=0, le=MAX_INTEGER)]
    total_steps: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = None
    steps_per_second: float | None = None
    tracking: TrackingStatus | None = None
