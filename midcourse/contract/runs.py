"""What is recorded of a run."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.commands import Changes
from midcourse.contract.names import CheckpointName, Experiment, RunId


class RunStatus(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    """Accepted; no trainer has been started, or its checkpoint is still awaited."""
    STARTING = "starting"
    """A trainer was started and has not reported yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Held at a step boundary; it keeps its device and takes commands."""
    SUSPENDED = "suspended"
    """It was told to make room: a checkpoint was written, its trainer is gone and its slot free.
    `resume` puts it back into the queue."""
    INTERRUPTED = "interrupted"
    """Its trainer is gone, by a signal or a crash; it can go on from its last checkpoint."""
    FINISHED = "finished"
    """It trained to its end."""
    STOPPED = "stopped"
    """It was told to stop."""
    FAILED = "failed"
    """Its program raised an error, or it could not be started."""
    SUPERSEDED = "superseded"
    """A revert put another run in its place."""
    IMPORTED = "imported"
    """It was trained elsewhere: here are checkpoints of it, fetched from W&B, that forks start
    from."""


ENDED = frozenset(
    {
        RunStatus.FINISHED,
        RunStatus.STOPPED,
        RunStatus.FAILED,
        RunStatus.SUPERSEDED,
        RunStatus.IMPORTED,
    }
)
"""A run in one of these will never train again under its own id."""

STEERABLE = frozenset(
    {RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.INTERRUPTED}
)
"""A run in one of these takes commands; they wait while its trainer is away."""


class Origin(Record):
    """Where a fork comes from."""

    run: RunId
    checkpoint: CheckpointName
    changes: Changes = Field(default_factory=dict)
    """Live parameters that differ from the checkpoint; they win over what it holds."""
    warm_start: bool = False
    """The model was edited: what agrees in name and shape is kept, the rest begins anew."""
    actor: str = "unknown"
    revert: bool = False
    """True where the child took its parent's place."""


class RunFile(Record):
    """`run.json`: what a run is, fixed when it is made."""

    format: int = 1
    id: RunId
    experiment: Experiment
    name: str | None = None
    seed: int
    config: dict[str, JsonValue] = Field(default_factory=dict)
    origin: Origin | None = None
    supersedes: RunId | None = None
    """The run whose place it took, by a revert or an undo; the origin may be another."""
    replay: str | None = None
    """What it replays, where it is a replay: a run's id, a file, or a W&B artifact."""


class RunLabels(Record):
    """`labels.json`: what people call a run by now; the control API writes it, trackers show it."""

    name: str | None = None
    tags: list[str] = Field(default_factory=list)
    notes: str = ""


class TrackingStatus(Record):
    """`tracking/status.json`: where a run's metrics are shown, as the tracker process sees it."""

    mode: str
    """`online`, `offline` or `disabled`."""
    url: str | None = None
    """The W&B page, when online."""
    server: str | None = None
    """The W&B server that it was shown on, when online: `WANDB_BASE_URL`. Null also in what earlier
    versions wrote."""
    folder: str | None = None
    """The W&B folder on disk, for `wandb sync`, when offline."""
    state: str = "running"
    """`running`, `finished`, `behind` (ended with something still to be sent) or `failed`."""
    error: str | None = None
    log_offset: int = 0
    """How many bytes of the run log have been handed to W&B."""
    left: int | None = None
    """How many rows are still to be sent, once its tracker has ended. Null: not known."""
    fork: Literal["native", "linked"] | None = None
    """How W&B has a fork: the parent's curves continued in one run, or a run of its own, linked to
    its parent. Null: the run is no fork, or is not online."""
