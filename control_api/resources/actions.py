"""`/runs/actions`: one action for many runs."""

from flask import Response

from control_api import bulk
from control_api.answers import Gives
from control_api.bulk import Bulk
from control_api.context import context, requester
from control_api.guard import caller
from control_api.http import answer
from control_api.idempotency import once, runs_once
from control_api.problems import Forbidden, TooManyRuns
from control_api.resource import Resource
from midcourse.contract.api.actions import ActionsAnswer, ActionsQuery, ActOnRuns
from midcourse.contract.roles import Role

resource = Resource("actions", "One action for many runs, each with a receipt of its own.")


@resource.post("/runs/actions", Gives(ActionsAnswer), problems=[TooManyRuns])
def act_on_runs(query: ActionsQuery, body: ActOnRuns, wait: int) -> Response:
    """Do the same to all runs that a filter means, up to 1000.

    Each run answers for itself: what one refuses keeps no other from it. `Prefer: wait=N` waits
    for the receipts of all. Only an admin may `delete`.
    """
    if body.action == "delete" and caller().role is not Role.ADMIN:
        raise Forbidden("This token may not delete runs; that needs the role admin.")
    here = context()
    doing = Bulk(here.database, here.settings.home, body)
    if query.dry_run:
        found = bulk.runs_of(here.database, body.filter)
        outcomes = list(bulk.try_each(found, lambda run: doing.rehearse(run, requester())))
        return answer(ActionsAnswer(results=bulk.results_of(here.database, outcomes, 0)))
    asked = runs_once(lambda: bulk.runs_of(here.database, body.filter))
    outcomes = list(
        bulk.try_each(asked.runs, lambda run: once(asked.by(run), lambda by: doing.act(run, by)))
    )
    bulk.note_refusals(here.database, body, outcomes, requester())
    results = bulk.results_of(here.database, outcomes, wait)
    return answer(ActionsAnswer(results=results), headers=asked.headers(wait))
