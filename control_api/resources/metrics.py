"""`/runs/{id}/metrics`: the numbers that a run logged."""

from flask import Response

from control_api.answers import Gives
from control_api.context import context
from control_api.http import answer
from control_api.lifecycle import get_run
from control_api.metric_series import asked_keys, series_of
from control_api.metric_store import MetricReader
from control_api.problems import RunDeleted, UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.metrics import MetricsAnswer, MetricsQuery
from midcourse.contract.names import RunId

resource = Resource("metrics", "The numbers that a run logged.", prefix="/runs/<run_id>")


@resource.get("/metrics", Gives(MetricsAnswer), problems=[UnknownRun, RunDeleted])
def show_metrics(run_id: RunId, query: MetricsQuery) -> Response:
    """Series by name; a name that was not logged (yet) has an empty one."""
    with context().database.reading() as session:
        run = get_run(session, run_id)
        keys = sorted(run.latest) if query.keys is None else asked_keys(query.keys)
        series = series_of(MetricReader(session, run_id), keys, query)
    return answer(MetricsAnswer(run=run_id, metrics=series))
