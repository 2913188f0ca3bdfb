"""`/experiments`: the names that group runs."""

from flask import Response

from control_api import experiments
from control_api.answers import Gives
from control_api.context import context
from control_api.http import answer
from control_api.resource import Resource
from midcourse.contract.api.experiments import ExperimentsQuery, ExperimentsView

resource = Resource("experiments", "The names that group runs.")


@resource.get("/experiments", Gives(ExperimentsView))
def list_experiments(query: ExperimentsQuery) -> Response:
    """Every experiment with how many runs it has of each status, the latest active one first."""
    with context().database.reading() as session:
        found = experiments.list_experiments(session, query.archived)
    return answer(ExperimentsView(experiments=found))
