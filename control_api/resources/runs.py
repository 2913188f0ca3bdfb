"""`/runs`: submit, list, look."""

from flask import Blueprint, Response
from sqlalchemy import select

from control_api.asking import Made, Requester, record
from control_api.awaiting import answer_new_run
from control_api.configs import check_experiment
from control_api.context import context
from control_api.http import answer, preferred_wait, read_body, read_query
from control_api.idempotency import make_once
from control_api.lifecycle import get_run
from control_api.tables import RunRow
from control_api.views import run_view, run_views
from midcourse.contract.api.runs import RunsAnswer, RunsQuery, SubmitRun
from midcourse.contract.api.values import NoQuery
from midcourse.contract.base import utc_now
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import new_run_id
from midcourse.contract.runs import RunStatus

blueprint = Blueprint("runs", __name__, url_prefix="/runs")

DEFAULT_EXPERIMENT = "default"


@blueprint.post("")
def submit() -> Response:
    """Queue a new run. Its trainer checks the configuration: `Prefer: wait=N` waits for that."""
    read_query(NoQuery)
    wanted = read_body(SubmitRun)
    wait = preferred_wait()
    experiment = _experiment(wanted)

    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = RunRow(
                id=new_run_id(),
                experiment=experiment,
                name=wanted.name,
                config={**wanted.config, "experiment": experiment},
                status=RunStatus.QUEUED,
                created_by=by.actor,
                created_at=utc_now(),
            )
            session.add(run)
            return record(session, by, "submit", run)

    return answer_new_run(make_once(make), wait)


@blueprint.get("")
def list_runs() -> Response:
    """All runs, or those of a status or an experiment; the newest first."""
    wanted = read_query(RunsQuery)
    query = select(RunRow).order_by(RunRow.created_at.desc(), RunRow.id)
    if wanted.status is not None:
        query = query.where(RunRow.status == wanted.status)
    if wanted.experiment is not None:
        query = query.where(RunRow.experiment == wanted.experiment)
    with context().database.reading() as session:
        views = run_views(session, list(session.scalars(query)))
    return answer(RunsAnswer(runs=views))


@blueprint.get("/<run_id>")
def show(run_id: str) -> Response:
    """One run."""
    read_query(NoQuery)
    with context().database.reading() as session:
        view = run_view(session, get_run(session, run_id))
    return answer(view)


def _experiment(wanted: SubmitRun) -> str:
    """The experiment of a submission, which may stand beside the config or in it.

    Raises:
        InvalidInput: it stands in both and differs, or is no name for an experiment.
    """
    inside = wanted.config.get("experiment")
    if wanted.experiment is not None and inside not in (None, wanted.experiment):
        message = f"is {wanted.experiment!r}, and config.experiment is {inside!r}: give one of them"
        raise InvalidInput([Fault(path="experiment", message=message)])
    return check_experiment(wanted.experiment or inside or DEFAULT_EXPERIMENT)
