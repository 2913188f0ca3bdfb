"""`/runs/{id}/params`: live parameters, read and set."""

import re

from flask import Response

from control_api.accepting import accept_command, require_not_ended
from control_api.answers import Gives
from control_api.asking import Made, Requester
from control_api.awaiting import COMMAND, COMMAND_PROBLEMS, answer_command
from control_api.context import context
from control_api.http import answer
from control_api.idempotency import make_once
from control_api.lifecycle import get_run
from control_api.live import changes_schema, check_live, shown_values
from control_api.problems import StaleRevision, UnknownRun
from control_api.resource import Resource
from control_api.tables import RunRow
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.api.params import ParameterChanges, ParametersAnswer
from midcourse.contract.commands import SetParameters
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import RunId

resource = Resource("params", "Live parameters: read and set.", prefix="/runs/<run_id>")


@resource.get("/params", Gives(ParametersAnswer, headers=("ETag",)), problems=[UnknownRun])
def show_params(run_id: RunId) -> Response:
    """The live parameters: values as last read back, their revision, and what may be set.

    Before the trainer has declared its own, the schema has the built-in ones.
    """
    with context().database.reading() as session:
        run = get_run(session, run_id)
    body = ParametersAnswer(
        run=run.id,
        revision=run.revision,
        values=shown_values(run),
        parameters_schema=changes_schema(run),
    )
    return answer(body, headers={"ETag": f'"{run.revision}"'})


@resource.patch("/params", *COMMAND, problems=[*COMMAND_PROBLEMS, StaleRevision])
def change_params(
    run_id: RunId, query: CommandQuery, body: ParameterChanges, wait: int, if_match: str
) -> Response:
    """Set live parameters: all of them, or none.

    Names, types and bounds are checked at once; the rest at the step boundary, where it acts.
    """
    changes = body.root

    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            require_not_ended(run)
            _check_revision(run, if_match.strip())
            if not changes:
                allowed = list(changes_schema(run)["properties"])
                message = f"names no parameter to change; there are: {', '.join(allowed)}"
                raise InvalidInput([Fault(path="", message=message, allowed=list(allowed))])
            action = SetParameters(changes=check_live(run, changes))
            return accept_command(session, run, action, by, query)[1]

    return answer_command(make_once(make), wait)


def _check_revision(run: RunRow, wanted: str) -> None:
    """Honour `If-Match`: an edit of what was read holds only for what was read."""
    tags = re.findall(r'"([^"]*)"', wanted)
    if wanted != "*" and str(run.revision) not in tags:
        raise StaleRevision(
            f"The parameters of run {run.id} are at revision {run.revision}, not {wanted}. "
            "Read them again, then decide.",
            headers={"ETag": f'"{run.revision}"'},
        )
