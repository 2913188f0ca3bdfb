"""One action for many runs, each with a receipt of its own."""

from typing import Literal, Self

from pydantic import Field, model_validator

from midcourse.contract.api import examples
from midcourse.contract.api.commands import CommandView
from midcourse.contract.api.runs import RunFilter
from midcourse.contract.api.values import Flag, Reason, Tags
from midcourse.contract.base import Record, with_examples
from midcourse.contract.commands import Changes
from midcourse.contract.errors import Problem
from midcourse.contract.names import RunId

MAX_RUNS = 1000
"""The most runs that one request reaches."""

ActionName = Literal[
    "pause",
    "resume",
    "suspend",
    "stop",
    "checkpoint",
    "undo",
    "set",
    "archive",
    "unarchive",
    "delete",
    "tag",
    "untag",
]


class ActOnRuns(Record):
    """Body of `POST /runs/actions`."""

    model_config = with_examples(
        {"filter": {"experiment": "tour", "status": "running"}, "action": "pause"}
    )

    filter: RunFilter
    """Which runs; `{}` means all that are not archived."""
    action: ActionName
    changes: Changes | None = None
    """What `set` sets."""
    tags: Tags | None = None
    """What `tag` adds and `untag` takes away."""
    reason: Reason | None = None
    """Why; kept with each command."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        for name, given, actions in (
            ("changes", self.changes, ("set",)),
            ("tags", self.tags, ("tag", "untag")),
        ):
            if self.action in actions and not given:
                raise ValueError(f"{name} must say what {self.action} is to change")
            if self.action not in actions and given is not None:
                raise ValueError(f"{name} goes with {' and '.join(actions)}, not {self.action}")
        return self


class ActionsQuery(Record):
    """Query of `POST /runs/actions`."""

    dry_run: Flag = False
    """Only say which runs it would reach, and which would refuse."""


class ActionResult(Record):
    """What became of one run."""

    run: RunId
    status: int = Field(ge=200, le=599)
    """As an answer to a request for this run alone would have it."""
    command: CommandView | None
    """Null where there was none to make, such as for a tag."""
    problem: Problem | None
    """Why it was refused, or did not act."""


class ActionsAnswer(Record):
    """Answer of `POST /runs/actions`."""

    model_config = with_examples(
        {
            "results": [
                {
                    "run": examples.RUN_ID,
                    "status": 200,
                    "command": examples.COMMAND,
                    "problem": None,
                }
            ]
        }
    )

    results: list[ActionResult]
    """The newest run first."""
