"""`/runs`: submit, list, look, edit, delete."""

from flask import Response

from control_api import deleting, editing
from control_api.answers import Gives
from control_api.awaiting import (
    NEW_RUN_PROBLEMS,
    NEW_RUNS,
    answer_new_run,
    answer_sweep,
)
from control_api.context import context
from control_api.http import answer
from control_api.idempotency import make_once, repeated_header
from control_api.lifecycle import get_run
from control_api.problems import RunNotReady, UnknownRun
from control_api.resource import Resource
from control_api.run_query import page_of_runs
from control_api.submitting import plan_runs, submit_runs
from control_api.sweeps import is_sweep
from control_api.views import run_view, run_views
from midcourse.contract.api.runs import (
    DeleteQuery,
    Deletion,
    EditRun,
    RunsAnswer,
    RunsQuery,
    RunView,
)
from midcourse.contract.api.submissions import SubmitRun
from midcourse.contract.names import RunId
from midcourse.contract.roles import Role

resource = Resource("runs", "Submit runs, look at them, tidy them up.")


@resource.post("/runs", NEW_RUNS, problems=NEW_RUN_PROBLEMS, role=Role.ADMIN)
def submit(body: SubmitRun, wait: int) -> Response:
    """Queue a new run, or a sweep of up to 1000.

    Each trainer checks its configuration: `Prefer: wait=N` waits for that, of a single run. A
    sweep is answered at once, with its id and all of its runs.
    """
    runs = plan_runs(context().settings, body)
    made = make_once(lambda by: submit_runs(context().database, runs, by))
    return answer_sweep(made) if is_sweep(body) else answer_new_run(made, wait)


@resource.get("/runs", Gives(RunsAnswer))
def list_runs(query: RunsQuery) -> Response:
    """Runs that meet a filter, sorted, a page at a time.

    `where` has conditions with commas between: a field, an operator (`= != < <= > >=`) and a
    value. `sort` has fields with commas between, `-` before one for descending. Fields are
    `created_at`, `started_at`, `ended_at`, `heartbeat_at`, `step`, `epoch`, `total_steps`,
    `priority`, `attempt`, `id`, `name`, `status`, `experiment`, `sweep`, `created_by`,
    `metrics.<name>`, `config.<dotted path>` and `values.<live parameter>`.
    """
    with context().database.reading() as session:
        page = page_of_runs(session, query)
        views = run_views(session, page.runs)
    return answer(RunsAnswer(runs=views, total=page.total, next_cursor=page.next_cursor))


@resource.get("/runs/<run_id>", Gives(RunView), problems=[UnknownRun])
def show_run(run_id: RunId) -> Response:
    """One run."""
    with context().database.reading() as session:
        view = run_view(session, get_run(session, run_id))
    return answer(view)


@resource.patch("/runs/<run_id>", Gives(RunView), problems=[UnknownRun])
def edit_run(run_id: RunId, body: EditRun) -> Response:
    """Change a run's name, notes, tags or priority, archive it, or bring it back.

    What is not named stays as it is. The priority counts while the run is in the queue. W&B shows
    name, notes and tags while the run is tracked.
    """
    here = context()
    made = make_once(
        lambda by: editing.edit_run(here.database, here.settings.home, run_id, body, by)
    )
    with here.database.reading() as session:
        view = run_view(session, get_run(session, run_id))
    return answer(view, headers=repeated_header(repeated=made.repeated))


@resource.delete(
    "/runs/<run_id>", Gives(Deletion), problems=[UnknownRun, RunNotReady], role=Role.ADMIN
)
def delete_run(run_id: RunId, query: DeleteQuery) -> Response:
    """Delete a run that has ended; `dry_run=true` only says what would go.

    Checkpoints that other runs came from stay, with what those need, until they are deleted, too.
    The run is found no more, but lineages still show it, and the audit what was asked of it.
    """
    here = context()
    if query.dry_run:
        return answer(deleting.preview_deletion(here.database, here.settings.home, run_id))
    made = make_once(lambda by: deleting.delete_run(here.database, here.settings.home, run_id, by))
    with here.database.reading() as session:
        report = deleting.deletion_of(session, run_id)
    return answer(report, headers=repeated_header(repeated=made.repeated))
