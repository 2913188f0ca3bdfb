"""`/runs/{id}/logs`: what a run's trainer printed, and what it prints."""

from flask import Response

from control_api.answers import TEXT, Gives
from control_api.console import (
    WATCH_SECONDS,
    Console,
    Watch,
    console_of,
    followed,
    pieces,
    start_of_tail,
    whole_end,
)
from control_api.context import context
from control_api.lifecycle import get_run
from control_api.listener import listener_gone
from control_api.problems import RunDeleted, UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.logs import LogsQuery
from midcourse.contract.names import RunId
from midcourse.contract.runs import ENDED

resource = Resource("logs", "What a run's trainer prints.", prefix="/runs/<run_id>")


@resource.get(
    "/logs",
    Gives(media=TEXT, headers=("Log-Offset", "Next-Offset")),
    problems=[UnknownRun, RunDeleted],
)
def show_logs(run_id: RunId, query: LogsQuery) -> Response:
    """Standard output and error of the run's trainers, of all attempts.

    Text in UTF-8, as long as what was printed: what is no UTF-8 is shown as `?`, a byte each. So
    whoever has received n bytes from `Log-Offset` on goes on n bytes further, after `follow` too.
    """
    database = context().database
    with database.reading() as session:
        run = get_run(session, run_id)
        console = console_of(session, context().settings.home, run)
    start = _start(console, query)
    headers = {"Log-Offset": str(start), "Cache-Control": "no-store"}
    if query.follow:
        watch = Watch(database, run_id, listener_gone())
        body = followed(console, start, watch, watch.wait, WATCH_SECONDS)
        headers["X-Accel-Buffering"] = "no"
    else:
        size = console.size()
        end = max(start, size if run.status in ENDED else whole_end(console, size))
        body = pieces(console, start, end)
        headers |= {"Next-Offset": str(end), "Content-Length": str(end - start)}
    return Response(body, content_type=f"{TEXT}; charset=utf-8", headers=headers)


def _start(console: Console, query: LogsQuery) -> int:
    if query.tail is not None:
        return start_of_tail(console, query.tail)
    return min(query.offset or 0, console.size())
