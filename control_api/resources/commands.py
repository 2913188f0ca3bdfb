"""`/runs/{id}/…`: what may be asked of a run, and what became of it."""

from flask import Blueprint, Response
from sqlalchemy import select

from control_api import branches
from control_api.awaiting import answer_command, answer_new_run
from control_api.context import context, requester
from control_api.http import answer, preferred_wait, read_body, read_query
from control_api.lifecycle import accept_command, get_run
from control_api.problems import UnknownCommand
from control_api.tables import CommandRow
from control_api.views import command_view
from midcourse.contract.api import (
    CommandQuery,
    CommandsView,
    ForkRun,
    NoQuery,
    Nothing,
    RevertRun,
)
from midcourse.contract.base import MAX_INTEGER
from midcourse.contract.commands import Action, Pause, Resume, Stop, TakeCheckpoint

blueprint = Blueprint("commands", __name__, url_prefix="/runs/<run_id>")

VERBS: dict[str, Action] = {
    "pause": Pause(),
    "resume": Resume(),
    "stop": Stop(),
    "checkpoint": TakeCheckpoint(pin=True),
}
"""The commands that need nothing but their name. A checkpoint that a person asked for is kept."""


@blueprint.post(f"/<any({', '.join(VERBS)}):verb>")
def act(run_id: str, verb: str) -> Response:
    """Pause, resume, stop, or take a checkpoint."""
    query = read_query(CommandQuery)
    read_body(Nothing)
    wait = preferred_wait()
    with context().database.writing() as session:
        run = get_run(session, run_id, for_change=True)
        row = accept_command(session, run, VERBS[verb], requester(), query.reason)
    return answer_command(row, wait)


@blueprint.post("/fork")
def fork(run_id: str) -> Response:
    """Make a new run from a checkpoint of this one; answers with the new run."""
    query = read_query(CommandQuery)
    wanted = read_body(ForkRun)
    wait = preferred_wait()
    here = context()
    child = branches.fork(
        here.database, here.settings.home, run_id, wanted, requester(), query.reason
    )
    return answer_new_run(child.id, wait)


@blueprint.post("/revert")
def revert(run_id: str) -> Response:
    """Let a new run take this one's place, from a checkpoint on; the command names it."""
    query = read_query(CommandQuery)
    wanted = read_body(RevertRun)
    wait = preferred_wait()
    here = context()
    row = branches.revert(
        here.database, here.settings.home, run_id, wanted, requester(), query.reason
    )
    return answer_command(row, wait)


@blueprint.get("/commands")
def list_commands(run_id: str) -> Response:
    """All commands of a run, in order."""
    read_query(NoQuery)
    query = select(CommandRow).where(CommandRow.run_id == run_id).order_by(CommandRow.seq)
    with context().database.reading() as session:
        get_run(session, run_id)
        views = [command_view(row) for row in session.scalars(query)]
    return answer(CommandsView(commands=views))


@blueprint.get("/commands/<int:seq>")
def show_command(run_id: str, seq: int) -> Response:
    """One command with its receipt, as soon as there is one."""
    read_query(NoQuery)
    with context().database.reading() as session:
        run = get_run(session, run_id)
        row = session.get(CommandRow, (run_id, seq)) if seq <= MAX_INTEGER else None
        if row is None:
            raise UnknownCommand(
                f"Run {run_id} has no command {seq}; its last is number {run.last_seq}."
            )
        view = command_view(row)
    return answer(view)
