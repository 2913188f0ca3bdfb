"""`/runs/{id}/checkpoints`: what a run can be forked from."""

from flask import Blueprint, Response

from control_api.branches import checkpoints_of
from control_api.context import context
from control_api.http import answer, read_query
from control_api.lifecycle import get_run
from midcourse.contract.api.checkpoints import CheckpointsAnswer
from midcourse.contract.api.values import NoQuery
from midcourse.contract.checkpoints import CheckpointRecord

blueprint = Blueprint("checkpoints", __name__, url_prefix="/runs/<run_id>/checkpoints")


@blueprint.get("")
def list_checkpoints(run_id: str) -> Response:
    """The checkpoints that are on disk, in order of their steps."""
    read_query(NoQuery)
    with context().database.reading() as session:
        get_run(session, run_id)
        rows = checkpoints_of(session, run_id)
    records = [CheckpointRecord.model_validate(row.record) for row in rows]
    return answer(CheckpointsAnswer(checkpoints=records))
