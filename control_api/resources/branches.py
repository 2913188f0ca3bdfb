"""`/runs/{id}/fork`, `/revert`, `/undo`, `/replay`: runs that come from others."""

from flask import Blueprint, Response

from control_api import branches
from control_api.awaiting import answer_command, answer_new_run
from control_api.context import context, requester
from control_api.http import answer, preferred_wait, read_body, read_query
from control_api.idempotency import make_once
from midcourse.contract.api.branches import ForkQuery, ForkRun, ReplayRun, RevertRun
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.api.values import NoQuery, Nothing

blueprint = Blueprint("branches", __name__, url_prefix="/runs/<run_id>")


@blueprint.post("/fork")
def fork(run_id: str) -> Response:
    """Make a new run from a checkpoint of this one; answers with the new run."""
    query = read_query(ForkQuery)
    wanted = read_body(ForkRun)
    wait = preferred_wait()
    here = context()
    if query.dry_run:
        return answer(branches.preview_fork(here.database, run_id, wanted, requester()))
    made = make_once(
        lambda by: branches.fork(
            here.database, here.settings.home, run_id, wanted, by, query.reason
        )
    )
    return answer_new_run(made, wait)


@blueprint.post("/revert")
def revert(run_id: str) -> Response:
    """Let a new run take this one's place, from a checkpoint on; the command names it."""
    query = read_query(CommandQuery)
    wanted = read_body(RevertRun)
    wait = preferred_wait()
    here = context()
    made = make_once(
        lambda by: branches.revert(here.database, here.settings.home, run_id, wanted, by, query)
    )
    return answer_command(made, wait)


@blueprint.post("/undo")
def undo(run_id: str) -> Response:
    """Let a new run take this one's place, from before its last change on."""
    query = read_query(CommandQuery)
    read_body(Nothing)
    wait = preferred_wait()
    made = make_once(lambda by: branches.undo(context().database, run_id, by, query))
    return answer_command(made, wait)


@blueprint.post("/replay")
def replay(run_id: str) -> Response:
    """Make a new run that is fed this one's journal; answers with the new run."""
    read_query(NoQuery)
    wanted = read_body(ReplayRun)
    wait = preferred_wait()
    made = make_once(lambda by: branches.replay(context().database, run_id, wanted.name, by))
    return answer_new_run(made, wait)
