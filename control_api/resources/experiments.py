"""`/experiments`: the names that group runs."""

from flask import Response

from control_api import experiments, published
from control_api.answers import Gives
from control_api.asking import note
from control_api.context import context, requester
from control_api.http import answer
from control_api.problems import NoWandbKey, ReportNotPublished, UnknownExperiment, UnknownReport
from control_api.resource import Resource
from control_api.views import API
from midcourse.contract.api.experiments import ExperimentsQuery, ExperimentsView
from midcourse.contract.api.reports import ReportState, ReportView
from midcourse.contract.names import Experiment

resource = Resource("experiments", "The names that group runs.")


@resource.get("/experiments", Gives(ExperimentsView))
def list_experiments(query: ExperimentsQuery) -> Response:
    """Every experiment with how many runs it has of each status, the latest active one first."""
    with context().database.reading() as session:
        found = experiments.list_experiments(session, query.archived)
    return answer(ExperimentsView(experiments=found))


@resource.post(
    "/experiments/<name>/report",
    Gives(ReportView, 200, "They are published; the links lead to them."),
    Gives(ReportView, 202, "It is under way; `GET` tells what comes of it.", headers=("Location",)),
    problems=[UnknownExperiment, NoWandbKey, ReportNotPublished],
)
def publish_report(name: Experiment, wait: int) -> Response:
    """Publish the experiment's pages in W&B: a workspace and reports.

    Those that are there are changed in place, under the same links. From then on they are
    published again by themselves whenever runs of the experiment have ended.
    """
    here, by = context(), requester()
    now = here.now()
    with here.database.writing() as session:
        experiments.require(session, name)
        if not here.settings.wandb.has_key:
            instead = "; or write one file that needs no account: python -m dashboards publish"
            raise NoWandbKey("publish to W&B", f"{instead} {name} --html FILE")
        asked = published.ask(session, name, by.actor, now)
        note(session, by, "publish_report", subject=name)
    row = published.await_end(here.database, name, asked, wait)
    if row.state is ReportState.FAILED and row.begun >= asked:
        raise ReportNotPublished(row.error or "The publisher gave no reason.")
    headers = {"Location": f"{API}/experiments/{name}/report"}
    status = 200 if row.state is ReportState.PUBLISHED else 202
    return answer(published.view(row), status, headers)


@resource.get(
    "/experiments/<name>/report", Gives(ReportView), problems=[UnknownExperiment, UnknownReport]
)
def show_report(name: Experiment) -> Response:
    """Whether the experiment's pages are published in W&B, and where they are."""
    with context().database.reading() as session:
        experiments.require(session, name)
        row = published.find(session, name)
    if row is None:
        raise UnknownReport(f"Nobody has published the pages of {name!r} yet; POST here does.")
    return answer(published.view(row))
