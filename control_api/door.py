"""The trainers' door: `/runs/{id}/link/…`. `midcourse.contract.link` is its protocol.

Each live run knocks here every second, so it is a WSGI application of its own in front of Flask's,
whose routing, contexts and hooks would cost a fifth of what a report costs. Who may come in, what
is logged and counted, and how errors read is decided by the same code as for all others.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request, Response

from control_api import logs, refusals
from control_api.context import Context
from control_api.delivery import await_commands
from control_api.errors import answer_to
from control_api.greenlets import Turnstile
from control_api.guard import Guard
from control_api.http import answer, body_of, query_of
from control_api.reports import read_report
from control_api.roles import TRAINER
from control_api.views import API
from control_api.visit import Visit
from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.link import CommandsAnswer, ReportAnswer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = {"commands": "GET", "report": "POST"}
"""What can be asked for here, and how: the last parts of the addresses."""
RULE = f"{API}/runs/<run_id>/link/"
"""What stands before them, as Flask would write it."""

_ADDRESS = re.compile(rf"{API}/runs/([^/]+)/link/({'|'.join(METHODS)})")

Natural = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class CommandsQuery(Record):
    """Query of the long-poll."""

    attempt: Natural
    after: Natural = 0
    wait: float = Field(default=0.0, ge=0.0, le=60.0)


class ReportQuery(Record):
    """Query of a report."""

    attempt: Natural
    offset: Natural


class Door:
    """Serves trainers; what is not theirs it leaves to another application."""

    def __init__(self, others: "WSGIApplication", context: Context, guard: Guard) -> None:
        self._others = others
        self._context = context
        self._guard = guard
        self._turnstile = Turnstile()
        self._views = {"commands": self._commands, "report": self._report}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve one request, as WSGI has it."""
        if "/link/" not in environ["PATH_INFO"]:  # what most of the others are known by
            return self._others(environ, start_response)
        request = Request(environ, populate_request=False)  # no cycle for the garbage collector
        found = _ADDRESS.fullmatch(request.path)
        if found is None:
            return self._others(environ, start_response)
        return self._serve(request, found[1], found[2])(environ, start_response)

    def _serve(self, request: Request, run_id: str, name: str) -> Response:
        if name == "report":  # who waits for a command, or sends one, is in a hurry
            self._turnstile.pass_through()
        visit = Visit.of(request)
        with logs.about(request=visit.request_id, run=run_id, attempt=_attempt(request)):
            try:
                self._guard.admit(request, visit, TRAINER, run_id)
                response: Response = answer(self._view(request, name)(request, run_id))
            except Exception as error:
                response = answer_to(error, request)
                if visit.caller is not None and visit.caller.role is not None:
                    refusals.keep(self._context.database, visit, response, name, run_id=run_id)
            self._context.counts.count(visit, RULE + name, response.status_code)
            logs.finish(visit, response, quiet=True)
        return response

    def _view(self, request: Request, name: str) -> Callable[[Request, str], Record]:
        if request.method != METHODS[name]:
            raise MethodNotAllowed([METHODS[name]])
        return self._views[name]

    def _commands(self, request: Request, run_id: str) -> CommandsAnswer:
        """Commands numbered above `after`, as soon as there are any; they count as delivered."""
        query = query_of(request, CommandsQuery)
        found = await_commands(
            self._context.database, run_id, query.attempt, query.after, query.wait
        )
        return CommandsAnswer(commands=found)

    def _report(self, request: Request, run_id: str) -> ReportAnswer:
        """Store where the trainer is, and the lines of its log if they begin at the right place."""
        query = query_of(request, ReportQuery)
        settings = self._context.settings
        request.max_content_length = settings.max_log_bytes
        given = read_report(run_id, query.attempt, query.offset, body_of(request))
        offset = self._context.collector.hand_in(given)
        self._turnstile.pass_through()
        return ReportAnswer(next_offset=offset, lease_seconds=settings.trainer_lease_seconds)


def _attempt(request: Request) -> int | None:
    text = request.args.get("attempt", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
