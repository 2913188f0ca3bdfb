"""The pages of an experiment in W&B: whether they are published, and where they are."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from midcourse.contract.base import Record, with_examples
from midcourse.contract.names import Experiment
from midcourse.contract.records import Moment


class ReportState(StrEnum):
    """How the publishing of an experiment's pages stands."""

    PENDING = "pending"
    """Asked for; it begins in a moment."""
    PUBLISHING = "publishing"
    """The publisher is at work."""
    PUBLISHED = "published"
    FAILED = "failed"
    """`error` says why. Links of an earlier time still lead to what was published then."""


class ReportLink(Record):
    """A page in W&B."""

    title: str
    url: str


class ReportView(Record):
    """Answer of `POST` and `GET /experiments/{name}/report`."""

    model_config = with_examples(
        {
            "experiment": "tour",
            "state": "published",
            "links": [
                {
                    "title": "tour: the runs compared",
                    "url": "https://wandb.ai/us/midcourse/reports/tour-the-runs-compared--Vmlldzo",
                }
            ],
            "notes": [],
            "error": None,
            "asked_by": "ada",
            "asked_at": "2026-11-22T12:00:00.000000Z",
            "ended_at": "2026-11-22T12:00:09.250000Z",
        }
    )

    experiment: Experiment
    state: Annotated[ReportState, Field(strict=False)]
    links: list[ReportLink]
    """What was published last, the workspace first."""
    notes: list[str]
    """What the publisher had to say: runs that W&B does not have yet, say."""
    error: str | None
    asked_by: str
    """Who asked for it last; `midcourse`, where it was refreshed as runs had ended."""
    asked_at: Moment
    ended_at: Moment | None
    """When it was published, or failed; null while it is under way."""
