"""`/slots`: where runs train, and which wait for their turn."""

from flask import Response

from control_api.answers import Gives
from control_api.context import context
from control_api.http import answer
from control_api.queue import queued_rows, slots_with_runs, why_nothing_starts
from control_api.resource import Resource
from midcourse.contract.api.slots import QueuedRun, SlotsView, SlotView

resource = Resource("slots", "Where runs train, and which wait for their turn.")


@resource.get("/slots", Gives(SlotsView))
def list_slots() -> Response:
    """All slots with their runs, and the queue in the order in which it will start."""
    offered = context().settings.slots
    with context().database.reading() as session:
        places = slots_with_runs(session, offered)
        waiting = queued_rows(session)
        notice = why_nothing_starts(session, offered)
    names = {slot.name for slot in offered}
    return answer(
        SlotsView(
            slots=[
                SlotView(
                    name=name,
                    offered=name in names,
                    run=None if run is None else run.id,
                    status=None if run is None else run.status,
                )
                for name, run in places
            ],
            queue=[
                QueuedRun(
                    run=run.id,
                    position=position,
                    priority=run.priority,
                    created_at=run.created_at,
                )
                for position, run in enumerate(waiting, start=1)
            ],
            notice=notice,
        )
    )
