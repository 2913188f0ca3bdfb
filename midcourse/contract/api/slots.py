"""The places in which runs train, and the runs that wait for one."""

from typing import Annotated

from pydantic import Field

from midcourse.contract.api import examples
from midcourse.contract.base import Record, with_examples
from midcourse.contract.names import RunId
from midcourse.contract.records import Moment
from midcourse.contract.runs import RunStatus


class SlotView(Record):
    """One slot."""

    name: str
    """`gpu:<index>` or `cpu:<number>`."""
    offered: bool
    """False: the settings no longer name it, and it is gone once its run lets go of it."""
    run: RunId | None
    """Who trains there; null: it is free."""
    status: Annotated[RunStatus, Field(strict=False)] | None
    """Of that run. One that has crashed keeps its slot until it is restarted; one that has ended
    keeps it until its process is gone."""


class QueuedRun(Record):
    """A run that waits for a slot."""

    run: RunId
    position: int
    """From 1: the next one."""
    priority: int
    created_at: Moment


class SlotsView(Record):
    """Answer of `GET /slots`."""

    model_config = with_examples(
        {
            "slots": [
                {"name": "gpu:0", "offered": True, "run": examples.RUN_ID, "status": "running"},
                {"name": "gpu:1", "offered": True, "run": None, "status": None},
            ],
            "queue": [],
            "notice": None,
        }
    )

    slots: list[SlotView]
    queue: list[QueuedRun]
    """In the order in which they will start."""
    notice: str | None
    """Why nothing starts, where that is so."""
