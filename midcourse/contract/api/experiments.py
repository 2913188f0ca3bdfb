"""What is being found out: the names that group runs."""

from typing import Annotated, Literal

from pydantic import Field

from midcourse.contract.base import Record, with_examples
from midcourse.contract.names import Experiment
from midcourse.contract.records import Moment
from midcourse.contract.runs import RunStatus

_Status = Annotated[RunStatus, Field(strict=False)]


class ExperimentsQuery(Record):
    """Query of `GET /experiments`."""

    archived: Literal["false", "true", "any"] = "false"
    """Which runs count: those that are not archived, those that are, or all."""


class ExperimentView(Record):
    """An experiment and its runs."""

    name: Experiment
    runs: int
    statuses: dict[_Status, int]
    """How many runs there are of each status; those that none has are left out."""
    created_at: Moment
    """Of its first run."""
    active_at: Moment
    """When something was last heard of one of its runs."""


class ExperimentsView(Record):
    """Answer of `GET /experiments`, the one with the latest activity first."""

    model_config = with_examples(
        {
            "experiments": [
                {
                    "name": "tour",
                    "runs": 3,
                    "statuses": {"running": 1, "finished": 2},
                    "created_at": "2026-11-21T11:25:04.085484Z",
                    "active_at": "2026-11-21T11:25:40.120007Z",
                }
            ]
        }
    )

    experiments: list[ExperimentView]
