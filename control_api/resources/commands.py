"""`/runs/{id}/…`: what may be asked of a run, and what became of it."""

from functools import partial

from flask import Response
from sqlalchemy import select

from control_api.accepting import accept_command, find_command, withdraw_command
from control_api.answers import Gives
from control_api.asking import Made, Requester
from control_api.awaiting import (
    COMMAND,
    COMMAND_PROBLEMS,
    answer_command,
    answer_withdrawal,
)
from control_api.context import context
from control_api.http import answer
from control_api.idempotency import make_once
from control_api.lifecycle import get_run
from control_api.problems import (
    CommandNotApplied,
    CommandNotWithdrawable,
    RunNotReady,
    UnknownCommand,
    UnknownRun,
)
from control_api.resource import Resource
from control_api.tables import CommandRow
from control_api.views import command_view
from midcourse.contract.api.commands import (
    CommandQuery,
    CommandsView,
    CommandView,
    ReinitialiseLayers,
    ResumeRun,
    Seq,
)
from midcourse.contract.api.values import ReasonQuery
from midcourse.contract.commands import (
    FORK_SEQ,
    Action,
    Pause,
    Reinitialise,
    Resume,
    Stop,
    Suspend,
    TakeCheckpoint,
)
from midcourse.contract.names import RunId

resource = Resource(
    "commands", "What may be asked of a run, and its receipts.", prefix="/runs/<run_id>"
)

_asks = partial(resource.post, problems=COMMAND_PROBLEMS)


@_asks("/pause", *COMMAND)
def pause(run_id: RunId, query: CommandQuery, wait: int) -> Response:
    """Hold the run at its next step boundary, with its device, until `resume`."""
    return _ask(run_id, Pause(), query, wait)


@_asks("/resume", *COMMAND)
def resume(run_id: RunId, query: CommandQuery, body: ResumeRun, wait: int) -> Response:
    """Go on, from a pause or a suspension; with `steps`, for so many steps, then pause."""
    return _ask(run_id, Resume(steps=body.steps), query, wait)


@_asks("/stop", *COMMAND)
def stop(run_id: RunId, query: CommandQuery, wait: int) -> Response:
    """Write a checkpoint, then end the run for good; it can still be forked."""
    return _ask(run_id, Stop(), query, wait)


@_asks("/suspend", *COMMAND)
def suspend(run_id: RunId, query: CommandQuery, wait: int) -> Response:
    """Write a checkpoint, then give the slot and its device to others, until `resume`."""
    return _ask(run_id, Suspend(), query, wait)


@_asks("/checkpoint", *COMMAND)
def checkpoint(run_id: RunId, query: CommandQuery, wait: int) -> Response:
    """Write a checkpoint at the next step boundary, and keep it whatever the retention says."""
    return _ask(run_id, TakeCheckpoint(pin=True), query, wait)


@_asks("/reinitialise", *COMMAND)
def reinitialise(
    run_id: RunId, query: CommandQuery, body: ReinitialiseLayers, wait: int
) -> Response:
    """Give layers fresh weights, as their own `reset_parameters` draws them."""
    return _ask(run_id, Reinitialise(layers=body.layers), query, wait)


def _ask(run_id: str, action: Action, query: CommandQuery, wait: int) -> Response:
    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            return accept_command(session, run, action, by, query)[1]

    return answer_command(make_once(make), wait)


@resource.get("/commands", Gives(CommandsView), problems=[UnknownRun])
def list_commands(run_id: RunId) -> Response:
    """All commands of a run: what it began with, then in the order they were asked for."""
    query = (
        select(CommandRow)
        .where(CommandRow.run_id == run_id)
        .order_by(CommandRow.seq != FORK_SEQ, CommandRow.accepted_at, CommandRow.seq)
    )
    with context().database.reading() as session:
        get_run(session, run_id)
        views = [command_view(row) for row in session.scalars(query)]
    return answer(CommandsView(commands=views))


@resource.get(
    "/commands/<int(signed=True):seq>",
    Gives(CommandView),
    problems=[UnknownRun, UnknownCommand],
)
def show_command(run_id: RunId, seq: Seq) -> Response:
    """One command, with its receipt as soon as there is one."""
    with context().database.reading() as session:
        view = command_view(find_command(session, get_run(session, run_id), seq))
    return answer(view)


@resource.delete(
    "/commands/<int(signed=True):seq>",
    Gives(CommandView, 200, "It is withdrawn.", headers=("Location",)),
    Gives(
        CommandView,
        202,
        "The trainer has it on its schedule; this command asks it to withdraw it.",
        headers=("Location",),
    ),
    problems=[
        UnknownRun,
        UnknownCommand,
        CommandNotWithdrawable,
        RunNotReady,
        CommandNotApplied,
    ],
)
def withdraw(run_id: RunId, seq: Seq, query: ReasonQuery, wait: int) -> Response:
    """Withdraw a command that has not acted."""

    def make(by: Requester) -> Made:
        with context().database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            return withdraw_command(session, run, seq, by, query.reason)

    return answer_withdrawal(seq, make_once(make), wait)
