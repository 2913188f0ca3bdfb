"""Commands: what may be asked of a live run. Immutable, typed, numbered per run."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.names import CheckpointName, RunId

Changes = dict[str, JsonValue]
"""Live parameters and their new values, each plain or, where its declaration names `ways`, as
`{"value": 0.1, "mode": "scale"}`."""


class SetParameters(Record):
    """Give live parameters new values: all of them, or none."""

    kind: Literal["set"] = "set"
    changes: Changes = Field(min_length=1)


class Reinitialise(Record):
    """Give layers fresh weights, as their own `reset_parameters` draws them."""

    kind: Literal["reinitialise"] = "reinitialise"
    layers: list[str] = Field(min_length=1)
    """Patterns of layer names, such as `classifier` or `features.*`."""


class Pause(Record):
    """Hold the run at the step boundary, GPU and all, until `resume`."""

    kind: Literal["pause"] = "pause"


class Resume(Record):
    """Let a paused or suspended run go on; with `steps`, for so many steps, then pause."""

    kind: Literal["resume"] = "resume"
    steps: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    """Also taken by a run that is not paused: run so many steps, then pause."""


class Stop(Record):
    """Write a checkpoint, then end the run for good. It can still be forked."""

    kind: Literal["stop"] = "stop"


class Suspend(Record):
    """Write a checkpoint, then end the process: its place is for others, until `resume`."""

    kind: Literal["suspend"] = "suspend"


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
    """The id of the run that goes on; whoever made the command chose it."""
    changes: Changes = Field(default_factory=dict)


class Undo(Record):
    """Revert to the checkpoint that was taken before the last change."""

    kind: Literal["undo"] = "undo"
    child: RunId
    """The id of the run that goes on; whoever made the command chose it."""


class Fork(Record):
    """What a fork begins with; never asked of a live run, but the first command of the new one."""

    kind: Literal["fork"] = "fork"
    changes: Changes = Field(default_factory=dict)
    warm_start: bool = False
    """The model was edited: weights are kept by name and shape, the others are new."""


class Cancel(Record):
    """Withdraw a scheduled command that has not acted."""

    kind: Literal["cancel"] = "cancel"
    seq: int
    """The number of the command to withdraw."""


class Alert(Record):
    """Say something to people, and change nothing; policies use it."""

    kind: Literal["alert"] = "alert"
    message: str = Field(min_length=1, max_length=2000)


Action = Annotated[
    SetParameters
    | Reinitialise
    | Pause
    | Resume
    | Stop
    | Suspend
    | TakeCheckpoint
    | Revert
    | Undo
    | Fork
    | Cancel
    | Alert,
    Field(discriminator="kind"),
]

CHANGING = (SetParameters, Reinitialise, Fork)
"""Actions that change how a run trains on. Before each a checkpoint is taken; `undo` goes to it."""

FORK_SEQ = 0
"""The number of a fork's first command. The control API's are 1, 2, …; those that the run gave
itself, by a policy or from the journal that it replays, are -1, -2, …"""


class At(Record):
    """When a scheduled command acts: at the boundary at which a step, or an epoch, is complete."""

    step: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Counted from 0 along the branch, as everywhere."""
    epoch: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Counted from 0."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.step is None) == (self.epoch is None):
            raise ValueError('must name a step or an epoch, such as {"step": 500}')
        return self

    def __str__(self) -> str:
        return f"epoch {self.epoch}" if self.step is None else f"step {self.step}"


class Command(Record):
    """An action with who asked for it and when, under its number in the run."""

    run: RunId
    seq: int = Field(ge=-MAX_INTEGER, le=MAX_INTEGER)
    actor: str = Field(min_length=1, max_length=200)
    accepted_at: Annotated[datetime, Field(strict=False)]
    action: Action
    reason: str | None = Field(default=None, max_length=2000)
    """Why, in the actor's words."""
    at: At | None = None
    """When it is to act; null: at the next boundary."""
    dry_run: bool = False
    """Only say what it would do; the receipt is then `checked`."""
