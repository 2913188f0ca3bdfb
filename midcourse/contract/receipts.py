"""Receipts: what became of a command."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.errors import Fault
from midcourse.contract.names import RunId


class CommandState(StrEnum):
    """Where a command is in its life."""

    ACCEPTED = "accepted"
    """Stored by the control API; the trainer does not know it yet."""
    DELIVERED = "delivered"
    """Handed to the trainer; it acts at the next step boundary."""
    APPLIED = "applied"
    """It acted, and its effect was read back from the live objects."""
    CHECKED = "checked"
    """A dry run: it could have acted, with the effect that the receipt shows; nothing changed."""
    REJECTED = "rejected"
    """It was not acceptable when its turn came; nothing changed."""
    FAILED = "failed"
    """It was acceptable and could not be carried out; everything is as it was before."""
    EXPIRED = "expired"
    """The run ended before it could act."""
    CANCELLED = "cancelled"
    """Withdrawn before it acted."""
    SUPERSEDED = "superseded"
    """The run was reverted before it could act."""


FINAL_STATES = frozenset(
    state for state in CommandState if state not in (CommandState.ACCEPTED, CommandState.DELIVERED)
)


class Receipt(Record):
    """The outcome of one command."""

    run: RunId
    seq: int = Field(ge=-MAX_INTEGER, le=MAX_INTEGER)
    state: Annotated[CommandState, Field(strict=False)]
    step: int | None = None
    """The step boundary at which it acted; null where it never reached one. -1: before step 0."""
    before: dict[str, JsonValue] = Field(default_factory=dict)
    after: dict[str, JsonValue] = Field(default_factory=dict)
    """Read back from the live objects after acting, never copied from the request."""
    details: dict[str, JsonValue] = Field(default_factory=dict)
    """What else is to be known: the checkpoint that undoes it, layers kept and new."""
    reason: str | None = None
    """Why it was rejected or failed."""
    faults: list[Fault] = Field(default_factory=list)
    at: Annotated[datetime, Field(strict=False)]
