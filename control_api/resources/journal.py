"""`/runs/{id}/journal`: what was commanded and what came of it, a JSON record a line."""

from flask import Response

from control_api.answers import NDJSON, Gives
from control_api.context import context
from control_api.journal import journal_of
from control_api.lifecycle import get_run
from control_api.problems import RunDeleted, UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.commands import JournalEntry
from midcourse.contract.names import RunId

resource = Resource("journal", "What acted, in its order.", prefix="/runs/<run_id>")


@resource.get(
    "/journal",
    Gives(JournalEntry, media=NDJSON, headers=("Content-Disposition",)),
    problems=[UnknownRun, RunDeleted],
)
def show_journal(run_id: RunId) -> Response:
    """The commands that have their receipt, in the order in which they acted.

    As a file to keep: `<run>.journal.jsonl`.
    """
    database = context().database
    with database.reading() as session:
        get_run(session, run_id)
    lines = (entry.to_json() + "\n" for entry in journal_of(database, run_id))
    headers = {"Content-Disposition": f'attachment; filename="{run_id}.journal.jsonl"'}
    return Response(lines, content_type=NDJSON, headers=headers)
