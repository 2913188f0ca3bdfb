"""What may be asked of a run, and what became of it."""

from typing import Annotated

from pydantic import Field, JsonValue

from midcourse.contract.api import examples
from midcourse.contract.api.branches import ForkQuery
from midcourse.contract.api.values import LayerPattern, Links, When
from midcourse.contract.base import MAX_INTEGER, Record, with_examples
from midcourse.contract.commands import Action, At
from midcourse.contract.names import RunId
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import Moment

Seq = Annotated[int, Field(description="The number of a command in its run.")]


class ResumeRun(Record):
    """Body of `POST /runs/{id}/resume`; may be empty."""

    model_config = with_examples({"steps": 20})

    steps: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    """Go on for so many steps, then pause. Absent: go on."""


class ReinitialiseLayers(Record):
    """Body of `POST /runs/{id}/reinitialise`."""

    model_config = with_examples({"layers": ["classifier", "features.*"]})

    layers: list[LayerPattern] = Field(min_length=1, max_length=1000)
    """Patterns of layer names, such as `classifier` or `features.*`."""


class CommandQuery(ForkQuery):
    """Query of every address that makes a command."""

    at: When | None = None
    """`step:N` or `epoch:N`: act at the boundary at which it is complete."""


class CommandView(Record):
    """A command, and what has become of it."""

    model_config = with_examples(examples.COMMAND)

    run: RunId
    seq: int
    action: Action
    actor: str
    reason: str | None
    at: At | None
    """When it is to act, where it is scheduled."""
    dry_run: bool
    state: Annotated[CommandState, Field(strict=False)]
    accepted_at: Moment
    delivered_at: Moment | None
    receipt: Receipt | None
    links: Links


class CommandsView(Record):
    """Answer of `GET /runs/{id}/commands`, in the order in which they were asked for."""

    model_config = with_examples({"commands": [examples.COMMAND]})

    commands: list[CommandView]


class JournalEntry(Record):
    """One line of `GET /runs/{id}/journal`: a command that has its receipt."""

    model_config = with_examples(examples.JOURNAL_ENTRY)

    run: RunId
    seq: int
    actor: str
    action: Action
    reason: str | None
    """Why it was asked for."""
    accepted_at: Moment
    at: At | None
    state: Annotated[CommandState, Field(strict=False)]
    step: int | None
    """The boundary at which it acted."""
    before: dict[str, JsonValue]
    after: dict[str, JsonValue]
    details: dict[str, JsonValue]
    why: str | None
    """Why it did not act, where it did not."""
    ended_at: Moment
    """When its receipt was written."""
