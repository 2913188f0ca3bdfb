"""The journal: every command that acted, written down before it acts, one JSON record a line."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from midcourse.contract.base import Record, strict_json_loads
from midcourse.contract.commands import Command
from midcourse.contract.names import CheckpointName
from midcourse.contract.receipts import Receipt

Moment = Annotated[datetime, Field(strict=False)]


class Intent(Record):
    """A command is about to act. On disk before anything changes."""

    type: Literal["intent"] = "intent"
    position: int = Field(ge=1)
    """Counts intents from 1; a checkpoint says up to which one its state has come."""
    step: int = Field(ge=-1)
    """The last step completed: the boundary at which the command acts, and at which a redo does."""
    at: Moment
    command: Command
    undo_to: CheckpointName | None = None
    """The checkpoint that was taken before it, where it changes the training."""


class Outcome(Record):
    """What became of the intent at `position`."""

    type: Literal["outcome"] = "outcome"
    position: int = Field(ge=1)
    receipt: Receipt


class Scheduled(Record):
    """A command waits for its step. It is never asked for a second time."""

    type: Literal["scheduled"] = "scheduled"
    command: Command


class Refusal(Record):
    """A command that did not act. Kept so that it is never taken up a second time."""

    type: Literal["refusal"] = "refusal"
    command: Command
    receipt: Receipt


JournalLine = Annotated[Intent | Outcome | Scheduled | Refusal, Field(discriminator="type")]
_adapter: TypeAdapter[Any] = TypeAdapter(JournalLine)


def parse_journal_line(line: str | bytes) -> JournalLine:
    """One line of a journal.

    Raises:
        ValueError: the line is no journal record.
    """
    record: JournalLine = _adapter.validate_python(strict_json_loads(line))
    return record
