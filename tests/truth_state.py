"""The state of a run as far as commands are concerned, kept beside the run itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from truth_program import SAMPLES

from midcourse.contract.commands import Command
from midcourse.contract.journal import Intent
from midcourse.contract.names import checkpoint_step
from midcourse.contract.receipts import CommandState, Receipt

ANY = object()
"""A value that is not foretold."""


@dataclass(frozen=True)
class Place:
    """Where a run is: what a checkpoint holds of it."""

    step: int
    """The last step completed."""
    epoch: int
    samples: int
    """Of this epoch, given out."""
    values: Mapping[str, Any]
    weights: Mapping[str, Any]
    """A hash of what each layer holds; `ANY` until it is known."""
    undo: tuple[tuple[str, str], ...] = ()
    """The checkpoints before its changes, each with its run; the last change's last."""

    @property
    def is_epoch_end(self) -> bool:
        return self.samples == SAMPLES


@dataclass(frozen=True)
class Verdict:
    """What must become of a command."""

    state: CommandState
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    faults: frozenset[str] | None = None
    """The parameters at fault; None where it is not about parameters."""
    values: Mapping[str, Any] | None = None
    """Those of the run afterwards, if they change."""


REJECTED = Verdict(CommandState.REJECTED)


@dataclass
class Run:
    """One run as the oracle knows it."""

    id: str
    place: Place
    begun: int = -1
    """The boundary at which it began."""
    parent: "Run | None" = None
    origin: str | None = None
    paused: bool = False
    pause_after: int | None = None
    waiting: dict[int, Command] = field(default_factory=dict)
    checkpoints: dict[str, Place] = field(default_factory=dict)
    used: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What each step used when it was first taken, or, where that was lost, last."""
    left: dict[int, Place] = field(default_factory=dict)
    """Where it was when it left the boundary of a step."""
    boundary: int = -1
    """Of the last command that was dealt with."""
    due: set[int] = field(default_factory=set)
    """Steps at which a checkpoint was due."""
    intents: dict[int, tuple[Intent, Verdict, Place]] = field(default_factory=dict)
    """By position; those that have no outcome yet."""
    ended: dict[int, Receipt] = field(default_factory=dict)
    """By the command's number."""
    scheduled: set[int] = field(default_factory=set)
    successor: str | None = None
    stopped: bool = False

    @property
    def is_paused(self) -> bool:
        after = self.pause_after
        return self.paused or (after is not None and self.place.step >= after)

    def find(self, checkpoint: str) -> Place | None:
        """What a checkpoint of this name holds, its ancestors' included."""
        run: Run | None = self
        while run is not None:
            if checkpoint in run.checkpoints:
                return run.checkpoints[checkpoint]
            if run.origin is None or checkpoint_step(checkpoint) > checkpoint_step(run.origin):
                return None
            run = run.parent
        return None

    def owner(self, checkpoint: str) -> "Run":
        """The run whose checkpoint it is."""
        run = self
        while checkpoint not in run.checkpoints:
            assert run.parent is not None
            run = run.parent
        return run


def is_due_at(command: Command, place: Place) -> bool:
    """Whether a scheduled command acts at this boundary."""
    at = command.at
    assert at is not None
    if at.step is not None:
        return at.step == place.step
    return at.epoch == place.epoch and place.is_epoch_end


def is_overdue(command: Command, place: Place) -> bool:
    """Whether it should have acted at a boundary up to this one."""
    at = command.at
    assert at is not None
    if at.step is not None:
        return at.step <= place.step
    assert at.epoch is not None
    return at.epoch < place.epoch or is_due_at(command, place)


def is_checkpoint_due(place: Place) -> bool:
    """Whether the step that led here completes with a checkpoint."""
    every = place.values["train.checkpoint_every"]
    if every is None:
        return False
    count, unit = every.split(" ")
    if unit.startswith("step"):
        return (place.step + 1) % int(count) == 0
    return place.is_epoch_end and (place.epoch + 1) % int(count) == 0
