"""What is recorded of a checkpoint, and the manifest that stands in its folder."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.names import CheckpointName, RunId

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CheckpointReason(StrEnum):
    """Why a checkpoint was taken."""

    INITIAL = "initial"
    """Before the first step, so that a crash at any time can be redone exactly."""
    SCHEDULE = "schedule"
    COMMAND = "command"
    BEFORE_CHANGE = "before_change"
    """Before a command that changes the training, so that `undo` can go back to it."""
    BEST = "best"
    """The watched metric was better than ever before in this branch."""
    INTERRUPTED = "interrupted"
    """The process was asked to end (SIGTERM, Ctrl-C) and goes on later."""
    SUSPENDED = "suspended"
    """The process ends to make room, and the run goes on from here when it is resumed."""
    END = "end"
    """The run finished or was stopped."""


class CheckpointRecord(Record):
    """What people and the control API know of a checkpoint."""

    run: RunId
    name: CheckpointName
    step: int = Field(ge=-1, le=MAX_INTEGER)
    """The last step completed; a fork from here starts at `step + 1`."""
    reason: Annotated[CheckpointReason, Field(strict=False)]
    state_hash: Sha256
    """Hash of everything that determines the steps to come; equal hashes train to equal bits."""
    bytes: int = Field(ge=0)
    created_at: Annotated[datetime, Field(strict=False)]
    metrics: dict[str, float] = Field(default_factory=dict)
    """The last values of plain-number metrics when it was taken."""
    best: bool = False
    """Best of its branch when it was taken."""


class ManifestFile(Record):
    """One file of a checkpoint."""

    bytes: int = Field(ge=0)
    sha256: Sha256


class Manifest(Record):
    """`manifest.json`: written last, so a folder without one is not a checkpoint."""

    format: Literal[2] = 2
    """Raised when older programs could misread a checkpoint; they then refuse it."""
    checkpoint: CheckpointRecord
    attempt: int = Field(ge=0)
    journal_position: int = Field(ge=0)
    """How many journal entries had acted when the state was captured."""
    edits: int = Field(ge=0)
    """How many parameter changes the branch has seen; with the step it identifies the state."""
    cursor: dict[str, JsonValue]
    """Where in the data the next step begins."""
    parameters: dict[str, JsonValue]
    """Live parameter values at capture. What determines the training is loaded from the state."""
    memory: dict[str, JsonValue] = Field(default_factory=dict)
    """What the session itself remembers (the best metric so far)."""
    versions: dict[str, str]
    files: dict[str, ManifestFile]
