"""`/runs/{id}/fork`, `/revert`, `/undo`, `/replay`: runs that come from others."""

from flask import Response

from control_api import branches
from control_api.answers import Gives
from control_api.awaiting import (
    COMMAND,
    COMMAND_PROBLEMS,
    NEW_RUN,
    NEW_RUN_PROBLEMS,
    answer_command,
    answer_new_run,
)
from control_api.context import context, requester
from control_api.http import answer
from control_api.idempotency import make_once
from control_api.problems import CheckpointGone, RunNotReady, UnknownRun
from control_api.resource import Resource
from midcourse.contract.api.branches import ForkPreview, ForkQuery, ForkRun, ReplayRun, RevertRun
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.names import RunId

resource = Resource("branches", "Runs that come from others.", prefix="/runs/<run_id>")


@resource.post(
    "/fork",
    Gives(ForkPreview, 200, "Of a dry run: what would be made."),
    NEW_RUN,
    problems=[*NEW_RUN_PROBLEMS, UnknownRun, RunNotReady, CheckpointGone],
)
def fork(run_id: RunId, query: ForkQuery, body: ForkRun, wait: int) -> Response:
    """Make a new run from a checkpoint of this one, which goes on as it is.

    Any run that has a checkpoint can be forked, an ended one too.
    """
    here = context()
    if query.dry_run:
        return answer(branches.preview_fork(here.database, run_id, body, requester()))
    made = make_once(
        lambda by: branches.fork(here.database, here.settings.home, run_id, body, by, query.reason)
    )
    return answer_new_run(made, wait)


@resource.post("/revert", *COMMAND, problems=[*COMMAND_PROBLEMS, CheckpointGone])
def revert(run_id: RunId, query: CommandQuery, body: RevertRun, wait: int) -> Response:
    """Let a new run take this one's place, from a checkpoint on; the command names it."""
    here = context()
    made = make_once(
        lambda by: branches.revert(here.database, here.settings.home, run_id, body, by, query)
    )
    return answer_command(made, wait)


@resource.post("/undo", *COMMAND, problems=COMMAND_PROBLEMS)
def undo(run_id: RunId, query: CommandQuery, wait: int) -> Response:
    """Let a new run take this one's place, from before its last change on."""
    made = make_once(lambda by: branches.undo(context().database, run_id, by, query))
    return answer_command(made, wait)


@resource.post("/replay", NEW_RUN, problems=[*NEW_RUN_PROBLEMS, UnknownRun, RunNotReady])
def replay(run_id: RunId, body: ReplayRun, wait: int) -> Response:
    """Make a new run that begins as this one did, and is fed its journal."""
    made = make_once(lambda by: branches.replay(context().database, run_id, body.name, by))
    return answer_new_run(made, wait)
