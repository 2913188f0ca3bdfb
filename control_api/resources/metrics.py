"""`/runs/{id}/metrics`: the numbers that a run logged."""

from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.context import context
from control_api.http import answer, read_query
from control_api.lifecycle import get_run
from control_api.metric_values import metric_value
from control_api.tables import MetricRow
from midcourse.contract.api.metrics import MetricsAnswer, MetricsQuery, Series

blueprint = Blueprint("metrics", __name__, url_prefix="/runs/<run_id>/metrics")


@blueprint.get("")
def show(run_id: str) -> Response:
    """Series by name; a name that was not logged (yet) has an empty one."""
    query = read_query(MetricsQuery)
    with context().database.reading() as session:
        run = get_run(session, run_id)
        keys = sorted(run.latest) if query.keys is None else _names(query.keys)
        series = {key: _series(session, run_id, key, query) for key in keys}
    return answer(MetricsAnswer(run=run_id, metrics=series))


def _series(session: Session, run_id: str, key: str, query: MetricsQuery) -> Series:
    points = select(MetricRow.step, MetricRow.value).where(
        MetricRow.run_id == run_id, MetricRow.key == key
    )
    if query.since_step is not None:
        points = points.where(MetricRow.step >= query.since_step)
    rows = session.execute(points.order_by(MetricRow.step).limit(query.limit + 1)).all()
    shown = rows[: query.limit]
    return Series(
        steps=[step for step, _ in shown],
        values=[metric_value(value) for _, value in shown],
        next_step=rows[query.limit].step if len(rows) > query.limit else None,
    )


def _names(text: str) -> list[str]:
    return sorted({name.strip() for name in text.split(",") if name.strip()})
