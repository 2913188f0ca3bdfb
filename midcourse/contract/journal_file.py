"""A journal as a file: how a run began, and every command that acted on its way from step 0 on.

One JSON record a line, the header first. A fork's way leads through its ancestors: their commands
up to the checkpoint that was forked stand before its own, and its changes are a `set` between.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.checkpoints import Sha256
from midcourse.contract.commands import Action
from midcourse.contract.names import Experiment, RunId
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import RunStatus

JOURNAL_FORMAT: Final = 1
"""Raised when an older program could misread the file; it then refuses it."""

ARTIFACT_PREFIX: Final = "journal-"
"""A run's journal is the W&B artifact `journal-<run id>`, of type `journal`."""
ARTIFACT_TYPE: Final = "journal"
ARTIFACT_FILE: Final = "journal.jsonl"


class JournalHeader(Record):
    """The first line: what the run is, and how it stood when this was written."""

    type: Literal["journal"] = "journal"
    format: int = JOURNAL_FORMAT
    run: RunId
    """Whose way this is."""
    line: list[RunId] = Field(min_length=1)
    """The run and those it came from, the oldest first."""
    experiment: Experiment
    """This, the seed and the config are those of the oldest, with which the way began."""
    seed: int
    config: dict[str, JsonValue]
    exported_at: Annotated[datetime, Field(strict=False)]
    status: Annotated[RunStatus, Field(strict=False)] | None = None
    """How the run ended or stands; null while it trains."""
    last_step: int | None = None
    """The last step completed when the run said its status; null where that is not known."""
    state_hash: Sha256 | None = None
    """Of the state after the last step, leaving out what policies remember (a replay has none);
    null where there is no checkpoint of it."""
    successor: RunId | None = None
    """The run that took this one's place by a revert or an undo."""
    policies: bool = False
    """Whether the run's policies were part of its states: then the hash of a checkpoint taken on
    the way is not that of a replay's."""
    not_replayable: str | None = None
    """Why one program cannot take this way from its first step to its last; null where it can."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Midcourse, torch, numpy and Python."""


class ActedCommand(Record):
    """A command that acted, and what it did as its receipt tells it."""

    type: Literal["command"] = "command"
    run: RunId
    """In whose journal it stands."""
    seq: int
    """Its number there; 0 is what a fork began with."""
    actor: str = Field(min_length=1, max_length=200)
    time: Annotated[datetime, Field(strict=False)]
    """When it acted."""
    step: int = Field(ge=-1)
    """The boundary at which it acted; -1: before step 0."""
    action: Action
    reason: str | None = None
    state: Annotated[CommandState, Field(strict=False)] = CommandState.APPLIED
    before: dict[str, JsonValue] = Field(default_factory=dict)
    after: dict[str, JsonValue] = Field(default_factory=dict)
    details: dict[str, JsonValue] = Field(default_factory=dict)


def differences(said: JsonValue, recorded: JsonValue, path: str) -> list[tuple[str, str]]:
    """Where two values differ: dotted paths, and in words how."""
    if isinstance(said, Mapping) and isinstance(recorded, Mapping):
        found = []
        for key in sorted({*said, *recorded}):
            inner = f"{path}.{key}"
            if key not in said:
                found.append((inner, f"is not given; the journal began with {recorded[key]!r}"))
            elif key not in recorded:
                found.append((inner, f"is {said[key]!r}; the journal began without it"))
            else:
                found += differences(said[key], recorded[key], inner)
        return found
    if said == recorded and isinstance(said, bool) == isinstance(recorded, bool):
        return []
    return [(path, f"is {said!r}; the journal began with {recorded!r}")]
