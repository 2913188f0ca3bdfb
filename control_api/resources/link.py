"""`/runs/{id}/link/…`: the trainer's side door. `midcourse.contract.link` is its protocol."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field

from control_api.context import context
from control_api.delivery import await_commands
from control_api.http import answer, read_bytes, read_query
from control_api.reports import read_report
from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.link import CommandsAnswer, ReportAnswer

blueprint = Blueprint("link", __name__, url_prefix="/runs/<run_id>/link")

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


@blueprint.get("/commands")
def commands(run_id: str) -> Response:
    """Commands numbered above `after`, as soon as there are any; they count as delivered."""
    query = read_query(CommandsQuery)
    found = await_commands(context().database, run_id, query.attempt, query.after, query.wait)
    return answer(CommandsAnswer(commands=found))


@blueprint.post("/report")
def report(run_id: str) -> Response:
    """Store where the trainer is, and the lines of its log if they begin at the right place."""
    query = read_query(ReportQuery)
    request.max_content_length = context().settings.max_log_bytes
    given = read_report(run_id, query.attempt, query.offset, read_bytes())
    here = context()
    offset = here.collector.hand_in(given)
    lease = here.settings.trainer_lease_seconds
    return answer(ReportAnswer(next_offset=offset, lease_seconds=lease))
