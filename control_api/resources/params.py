"""`/runs/{id}/params`: live parameters, read and set."""

import re

from flask import Blueprint, Response, request

from control_api.accepting import accept_command, require_not_ended
from control_api.asking import Made, Requester
from control_api.awaiting import answer_command
from control_api.context import context
from control_api.http import answer, preferred_wait, read_object, read_query
from control_api.idempotency import make_once
from control_api.lifecycle import get_run
from control_api.live import changes_schema, check_live, shown_values
from control_api.problems import StaleRevision
from control_api.tables import RunRow
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.api.params import ParametersAnswer
from midcourse.contract.api.values import NoQuery
from midcourse.contract.commands import SetParameters
from midcourse.contract.errors import Fault, InvalidInput

blueprint = Blueprint("params", __name__, url_prefix="/runs/<run_id>/params")


@blueprint.get("")
def show(run_id: str) -> Response:
    """The values as last read back, their revision, and the schema of a change."""
    read_query(NoQuery)
    with context().database.reading() as session:
        run = get_run(session, run_id)
    body = ParametersAnswer(
        run=run.id,
        revision=run.revision,
        values=shown_values(run),
        parameters_schema=changes_schema(run),
    )
    return answer(body, headers={"ETag": f'"{run.revision}"'})


@blueprint.patch("")
def change(run_id: str) -> Response:
    """Set live parameters: all of them, or none."""
    query = read_query(CommandQuery)
    changes = read_object()
    wait = preferred_wait()

    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            require_not_ended(run)
            _check_revision(run)
            if not changes:
                allowed = list(changes_schema(run)["properties"])
                message = f"names no parameter to change; there are: {', '.join(allowed)}"
                raise InvalidInput([Fault(path="", message=message, allowed=list(allowed))])
            action = SetParameters(changes=check_live(run, changes))
            return accept_command(session, run, action, by, query)[1]

    return answer_command(make_once(make), wait)


def _check_revision(run: RunRow) -> None:
    """Honour `If-Match`: an edit of what was read holds only for what was read."""
    wanted = request.headers.get("If-Match", "*").strip()
    tags = re.findall(r'"([^"]*)"', wanted)
    if wanted != "*" and str(run.revision) not in tags:
        raise StaleRevision(
            f"The parameters of run {run.id} are at revision {run.revision}, not {wanted}. "
            "Read them again, then decide.",
            headers={"ETag": f'"{run.revision}"'},
        )
