"""Runs that come from others: fork, revert, undo, replay."""

from pydantic import Field, JsonValue

from midcourse.contract.api import examples
from midcourse.contract.api.runs import OriginView
from midcourse.contract.api.values import Flag, ReasonQuery, RunName
from midcourse.contract.base import Record, with_examples
from midcourse.contract.commands import Changes


class ForkRun(Record):
    """Body of `POST /runs/{id}/fork`; may be empty."""

    model_config = with_examples(
        {"changes": {"optimizer.lr": 0.005}, "name": "slower"}, {"checkpoint": "best"}
    )

    checkpoint: str | None = Field(default=None, max_length=100)
    """`now`, `latest`, `best`, `initial` or `step-N`. Absent: `now` while the run is live, else
    `latest`."""
    changes: Changes = Field(default_factory=dict)
    """Live parameters that the fork starts with; they win over what the checkpoint holds."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    """What differs in the configuration, merged into the parent's as RFC 7396 has it: null
    deletes. With it the model may be another: weights are kept by name and shape."""
    name: RunName | None = None


class RevertRun(Record):
    """Body of `POST /runs/{id}/revert`."""

    model_config = with_examples({"checkpoint": "step-197", "changes": {"optimizer.lr": 0.01}})

    checkpoint: str = Field(max_length=100)
    """`latest`, `best`, `initial` or `step-N`."""
    changes: Changes = Field(default_factory=dict)


class ReplayRun(Record):
    """Body of `POST /runs/{id}/replay`; may be empty."""

    model_config = with_examples({"name": "again"})

    name: RunName | None = None


class ForkQuery(ReasonQuery):
    """Query of `POST /runs/{id}/fork`."""

    dry_run: Flag = False
    """Only say what would be made."""


class ForkPreview(Record):
    """Answer of a fork's dry run: what would be made."""

    model_config = with_examples({"origin": examples.ORIGIN, "config": examples.CONFIG})

    origin: OriginView
    config: dict[str, JsonValue]
