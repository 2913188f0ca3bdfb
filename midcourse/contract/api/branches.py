"""Runs that come from others: fork, revert, undo, replay."""

from typing import Annotated

from pydantic import Field, JsonValue

from midcourse.contract.api import examples
from midcourse.contract.api.runs import OriginView
from midcourse.contract.api.submissions import Image, Word
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


class ForkFromWandb(Record):
    """Body of `POST /forks`."""

    model_config = with_examples(
        {"source": "lab/digits/rpd58kqjr@best", "changes": {"optimizer.lr": 0.005}},
        {"source": "https://wandb.ai/lab/digits/runs/rpd58kqjr", "name": "again"},
    )

    source: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """`entity/project/run`, with `@best`, `@latest` (as without any), `@step-500` or `@v3` behind
    it; the artifact's own name, `entity/project/run-checkpoint:v3`; or the link of the page of
    either, of the server that the control API uses."""
    changes: Changes = Field(default_factory=dict)
    """Live parameters that the fork starts with; they win over what the checkpoint holds."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    """What differs in the configuration, merged into the other run's as RFC 7396 has it."""
    name: RunName | None = None
    image: Image | None = None
    """As in `POST /runs`: a checkpoint does not say what it was trained in."""
    command: list[Word] | None = Field(default=None, min_length=1, max_length=64)
    """As in `POST /runs`."""


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
