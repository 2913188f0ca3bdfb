"""What is left to be sent to W&B by the control API's sync job."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from midcourse.contract.api import examples
from midcourse.contract.base import Record, with_examples
from midcourse.contract.names import Experiment, RunId
from midcourse.contract.records import Moment


class SyncState(StrEnum):
    """How it stands with a run that is not all in W&B."""

    WAITING = "waiting"
    """Its turn will come."""
    SENDING = "sending"
    """It is being sent."""
    GIVEN_UP = "given_up"
    """It failed too often; `POST /sync` has it tried again."""


class SyncRun(Record):
    """A run that is not all in W&B."""

    run: RunId
    name: str | None
    experiment: Experiment
    state: Annotated[SyncState, Field(strict=False)]
    left: int | None
    """Rows that are still to be sent; null: not known."""
    bytes_left: int
    """Of its log, that are still to be sent; all of it where it logged offline."""
    tries: int
    """In a row that left something."""
    due_at: Moment | None
    """When it is tried again; null: as soon as its turn comes, or not by itself."""
    error: str | None
    """Why the last try left something."""


class SyncView(Record):
    """Answer of `GET /sync` and `POST /sync`."""

    model_config = with_examples(
        {
            "notice": None,
            "sending": examples.RUN_ID,
            "count": 1,
            "left": 1204,
            "bytes_left": 71300,
            "runs": [
                {
                    "run": examples.RUN_ID,
                    "name": "first",
                    "experiment": "digits",
                    "state": "sending",
                    "left": 1204,
                    "bytes_left": 71300,
                    "tries": 1,
                    "due_at": None,
                    "error": "W&B could not be reached",
                }
            ],
        }
    )

    notice: str | None
    """Why nothing can be sent, where that is so."""
    sending: RunId | None
    """The run that is being sent."""
    count: int
    """How many runs are not all in W&B."""
    left: int
    """Rows of all of them that are still to be sent, as far as that is known."""
    bytes_left: int
    """Of all their logs."""
    runs: list[SyncRun]
    """In the order in which they are sent; the first 1,000."""
