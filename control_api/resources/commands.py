"""`/runs/{id}/…`: what may be asked of a run, and what became of it."""

from flask import Blueprint, Response
from sqlalchemy import select

from control_api.accepting import accept_command, find_command, withdraw_command
from control_api.asking import Made, Requester
from control_api.awaiting import answer_command, answer_withdrawal
from control_api.context import context
from control_api.http import answer, preferred_wait, read_body, read_query
from control_api.idempotency import make_once
from control_api.lifecycle import get_run
from control_api.tables import CommandRow
from control_api.views import command_view
from midcourse.contract.api.commands import (
    CommandQuery,
    CommandsView,
    ReinitialiseLayers,
    ResumeRun,
)
from midcourse.contract.api.values import NoQuery, Nothing, ReasonQuery
from midcourse.contract.commands import (
    FORK_SEQ,
    Action,
    Pause,
    Reinitialise,
    Resume,
    Stop,
    TakeCheckpoint,
)

blueprint = Blueprint("commands", __name__, url_prefix="/runs/<run_id>")

VERBS: dict[str, Action] = {
    "pause": Pause(),
    "stop": Stop(),
    "checkpoint": TakeCheckpoint(pin=True),
}
"""The commands that need nothing but their name. A checkpoint that a person asked for is kept."""


@blueprint.post(f"/<any({', '.join(VERBS)}):verb>")
def act(run_id: str, verb: str) -> Response:
    """Pause, stop, or take a checkpoint."""
    query = read_query(CommandQuery)
    read_body(Nothing)
    return _ask(run_id, VERBS[verb], query)


@blueprint.post("/resume")
def resume(run_id: str) -> Response:
    """Go on; with `steps`, for so many steps."""
    query = read_query(CommandQuery)
    return _ask(run_id, Resume(steps=read_body(ResumeRun).steps), query)


@blueprint.post("/reinitialise")
def reinitialise(run_id: str) -> Response:
    """Give layers fresh weights."""
    query = read_query(CommandQuery)
    return _ask(run_id, Reinitialise(layers=read_body(ReinitialiseLayers).layers), query)


def _ask(run_id: str, action: Action, query: CommandQuery) -> Response:
    wait = preferred_wait()

    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            return accept_command(session, run, action, by, query)[1]

    return answer_command(make_once(make), wait)


@blueprint.get("/commands")
def list_commands(run_id: str) -> Response:
    """All commands of a run: what it began with, then in the order they were asked for."""
    read_query(NoQuery)
    query = (
        select(CommandRow)
        .where(CommandRow.run_id == run_id)
        .order_by(CommandRow.seq != FORK_SEQ, CommandRow.accepted_at, CommandRow.seq)
    )
    with context().database.reading() as session:
        get_run(session, run_id)
        views = [command_view(row) for row in session.scalars(query)]
    return answer(CommandsView(commands=views))


@blueprint.get("/commands/<int(signed=True):seq>")
def show_command(run_id: str, seq: int) -> Response:
    """One command with its receipt, as soon as there is one."""
    read_query(NoQuery)
    with context().database.reading() as session:
        view = command_view(find_command(session, get_run(session, run_id), seq))
    return answer(view)


@blueprint.delete("/commands/<int(signed=True):seq>")
def withdraw(run_id: str, seq: int) -> Response:
    """Withdraw a command that has not acted."""
    query = read_query(ReasonQuery)
    read_body(Nothing)
    wait = preferred_wait()

    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            return withdraw_command(session, run, seq, by, query.reason)

    return answer_withdrawal(seq, make_once(make), wait)
