"""`/runs/{id}/lineage`: where a run comes from, and what comes from it."""

from flask import Response

from control_api.answers import Gives
from control_api.context import context
from control_api.http import answer
from control_api.lineage import lineage_of
from control_api.problems import UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.lineage import LineageQuery, LineageView
from midcourse.contract.names import RunId

resource = Resource("lineage", "Where runs come from.", prefix="/runs/<run_id>")


@resource.get("/lineage", Gives(LineageView), problems=[UnknownRun])
def show_lineage(run_id: RunId, query: LineageQuery) -> Response:
    """The tree that a run belongs to, with the step and the changes of each branch.

    Deleted runs are in it, so that their children hang together.
    """
    with context().database.reading() as session:
        lineage = lineage_of(session, run_id)
    if query.flat:
        return answer(lineage.as_list())
    return Response(lineage.as_tree(), content_type="application/json")
