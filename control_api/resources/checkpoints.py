"""`/runs/{id}/checkpoints`: what a run can be forked from."""

from flask import Response

from control_api.answers import Gives
from control_api.branches import checkpoints_of
from control_api.context import context
from control_api.http import answer
from control_api.lifecycle import get_run
from control_api.problems import UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.checkpoints import CheckpointsAnswer
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.names import RunId

resource = Resource("checkpoints", "What a run can be forked from.", prefix="/runs/<run_id>")


@resource.get("/checkpoints", Gives(CheckpointsAnswer), problems=[UnknownRun])
def list_checkpoints(run_id: RunId) -> Response:
    """The checkpoints that are on disk, in order of their steps."""
    with context().database.reading() as session:
        get_run(session, run_id)
        rows = checkpoints_of(session, run_id)
    records = [CheckpointRecord.model_validate(row.record) for row in rows]
    return answer(CheckpointsAnswer(checkpoints=records))
