"""`/runs/{id}/journal`: what was commanded and what came of it, a JSON record a line."""

from flask import Blueprint, Response

from control_api.context import context
from control_api.http import read_query
from control_api.journal import journal_of
from control_api.lifecycle import get_run
from midcourse.contract.api.values import NoQuery

blueprint = Blueprint("journal", __name__, url_prefix="/runs/<run_id>/journal")


@blueprint.get("")
def show(run_id: str) -> Response:
    """The commands that have their receipt, in the order in which they acted."""
    read_query(NoQuery)
    with context().database.reading() as session:
        get_run(session, run_id)
        entries = journal_of(session, run_id)
    lines = "".join(entry.to_json() + "\n" for entry in entries)
    return Response(lines, content_type="application/x-ndjson")
