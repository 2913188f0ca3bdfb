"""Commands: what may be asked of a live run. Immutable, typed, numbered per run."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from midcourse.contract.base import Record, Scalar
from midcourse.contract.names import CheckpointName, RunId


class SetParameters(Record):
    """Give live parameters new values: all of them, or none."""

    kind: Literal["set"] = "set"
    changes: dict[str, Scalar] = Field(min_length=1)


class Pause(Record):
    """Hold the run at the step boundary, GPU and all, until `resume`."""

    kind: Literal["pause"] = "pause"


class Resume(Record):
    """Let a paused run go on."""

    kind: Literal["resume"] = "resume"


class Stop(Record):
    """Write a checkpoint, then end the run for good. It can still be forked."""

    kind: Literal["stop"] = "stop"


class TakeCheckpoint(Record):
    """Write a checkpoint at this boundary."""

    kind: Literal["checkpoint"] = "checkpoint"
    pin: bool = False
    """Keep it whatever the retention says."""


class Revert(Record):
    """Go back to a checkpoint as a new run, which takes this one's place in the same process."""

    kind: Literal["revert"] = "revert"
    checkpoint: CheckpointName
    child: RunId
    """The id of the run that goes on; the control API chose it."""
    changes: dict[str, Scalar] = Field(default_factory=dict)


Action = Annotated[
    SetParameters | Pause | Resume | Stop | TakeCheckpoint | Revert,
    Field(discriminator="kind"),
]

FORK_SEQ = 0
"""The number of the command that a fork's changes form in the child's journal; others: 1, 2, …"""


class Command(Record):
    """An action with who asked for it and when, under its number in the run."""

    run: RunId
    seq: int = Field(ge=FORK_SEQ)
    actor: str = Field(min_length=1, max_length=200)
    accepted_at: Annotated[datetime, Field(strict=False)]
    action: Action
    reason: str | None = Field(default=None, max_length=2000)
    """Why, in the actor's words."""
