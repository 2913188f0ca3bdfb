"""Where runs come from: the tree of branches that a run belongs to."""

from typing import Annotated

from pydantic import Field

from midcourse.contract.api import examples
from midcourse.contract.api.values import Flag
from midcourse.contract.base import Record, with_examples
from midcourse.contract.commands import Changes
from midcourse.contract.names import CheckpointName, Experiment, RunId
from midcourse.contract.records import MetricValue, Moment
from midcourse.contract.runs import RunStatus


class LineageQuery(Record):
    """Query of `GET /runs/{id}/lineage`."""

    flat: Flag = False
    """As a list, parents before their children, in place of a tree: for readers that cannot nest
    as deep as a lineage may be."""


class BranchPoint(Record):
    """Where a branch begins, and with what."""

    run: RunId
    """The run that has the checkpoint; after an undo it may be an older one than the parent."""
    checkpoint: CheckpointName | None
    """Null while it is still being taken, or fetched from W&B."""
    step: int | None
    """The last step that the branch shares with that run; -1: it begins before step 0."""
    changes: Changes
    warm_start: bool
    """Its configuration was edited: weights are kept by name and shape, the others are new."""
    actor: str
    revert: bool
    """It took its parent's place."""


class Branch(Record):
    """One run of a lineage."""

    id: RunId
    name: str | None
    status: Annotated[RunStatus, Field(strict=False)]
    experiment: Experiment
    step: int | None
    """The last step completed; null where none was."""
    created_at: Moment
    deleted_at: Moment | None
    """Of a deleted run there is no more than this."""
    origin: BranchPoint | None
    """Null of the root."""
    metrics: dict[str, MetricValue]
    """The latest value of each."""


class LineageNode(Branch):
    """A run with those that come from it."""

    children: list["LineageNode"]
    """The oldest first."""


class ListedBranch(Branch):
    """A run of a lineage that is told as a list."""

    parent: RunId | None
    depth: int
    """How many runs lie between it and the root, itself included; 0 of the root."""


class LineageView(Record):
    """Answer of `GET /runs/{id}/lineage`."""

    model_config = with_examples(examples.LINEAGE)

    root: RunId
    run: RunId
    """The run that was asked for."""
    tree: LineageNode | None
    """Null where a list was asked for."""
    nodes: list[ListedBranch] | None
    """Null where a tree was asked for."""
