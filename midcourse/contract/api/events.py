"""What happened to runs, as it is told to those who listen."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from midcourse.contract.api import examples
from midcourse.contract.api.values import Flag
from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.names import Experiment, RunId
from midcourse.contract.records import Moment


class EventKind(StrEnum):
    """What an event tells of."""

    RUN_CREATED = "run.created"
    """A run was submitted, forked, or is to take another's place. `experiment`, `parent`."""
    RUN_STATUS = "run.status"
    """Where it is in its life: `status`, and the last `step` then."""
    RUN_DESIRED = "run.desired"
    """What people want of it: `desired`."""
    RUN_PARAMS = "run.params"
    """Its live parameters: `revision`."""
    RUN_CHANGED = "run.changed"
    """What else was changed of it, by name: `fields`."""
    COMMAND = "command"
    """A command was asked for, or came to another state: `seq`, `kind`, `state`, `step`."""
    CHECKPOINT_WRITTEN = "checkpoint.written"
    """`name`, `step`."""
    CHECKPOINT_DELETED = "checkpoint.deleted"
    """`name`, `step`."""
    GAP = "gap"
    """There were events before this one that are no longer kept; look at the runs again."""


class Event(Record):
    """The data of one event; its `id` is its number, its `event` its kind."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EVENT]})

    run: RunId | None
    """Null: it is about no run, such as a gap."""
    at: Moment
    details: dict[str, JsonValue]
    """What its kind says of it."""


class RunEventsQuery(Record):
    """Query of `GET /runs/{id}/events`."""

    kinds: Annotated[str, Field(max_length=500)] | None = None
    """Kinds of events with commas between, such as `run.status,command`; absent: all."""
    after: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Begin after this number; 0: with all that are kept. Absent: with what happens from now on.
    The header `Last-Event-ID` wins over it."""
    follow: Flag = True
    """False: end with the newest event that there is now."""


class EventsQuery(RunEventsQuery):
    """Query of `GET /events`."""

    experiment: Experiment | None = None
    """Only of its runs."""
