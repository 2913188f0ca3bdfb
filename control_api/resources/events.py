"""`/events`, `/runs/{id}/events`: what happens to runs, told while it happens."""

from flask import Response

from control_api.answers import EVENTS, Gives
from control_api.context import context
from control_api.event_stream import EventStream, Wanted, parse_kinds, where_to_begin
from control_api.lifecycle import get_run
from control_api.problems import RunDeleted, UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.events import Event, EventsQuery, RunEventsQuery
from midcourse.contract.names import RunId

resource = Resource("events", "What happens to runs, told while it happens.")


@resource.get("/events", Gives(Event, media=EVENTS))
def stream_events(query: EventsQuery, last_event_id: str | None) -> Response:
    """Events of all runs, as server-sent events.

    The stream does not end by itself, but with `follow=false`. Whoever comes back with the `id` of
    the last event it has, in the header `Last-Event-ID` or as `after`, is sent what it missed; an
    event `gap` says that a part of that is no longer kept.
    """
    wanted = Wanted(experiment=query.experiment, kinds=parse_kinds(query.kinds))
    return _stream(wanted, where_to_begin(query.after, last_event_id), follow=query.follow)


@resource.get(
    "/runs/<run_id>/events", Gives(Event, media=EVENTS), problems=[UnknownRun, RunDeleted]
)
def stream_run_events(run_id: RunId, query: RunEventsQuery, last_event_id: str | None) -> Response:
    """Events of one run, as server-sent events: see `GET /events`."""
    with context().database.reading() as session:
        get_run(session, run_id)
    wanted = Wanted(run_id=run_id, kinds=parse_kinds(query.kinds))
    return _stream(wanted, where_to_begin(query.after, last_event_id), follow=query.follow)


def _stream(wanted: Wanted, after: int | None, *, follow: bool) -> Response:
    stream = EventStream(context().database, wanted, after, follow=follow)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(iter(stream), content_type=f"{EVENTS}; charset=utf-8", headers=headers)
