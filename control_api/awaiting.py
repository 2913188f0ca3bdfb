"""Answers that may wait: `Prefer: wait=N` holds them back until it is known what came of a request.

A request that was accepted and came to nothing is never answered as a success.
"""

from flask import Response
from sqlalchemy.orm import Session

from control_api.bell import run_key
from control_api.context import context
from control_api.http import answer
from control_api.judge import BAD_CONFIGURATION, refusals
from control_api.lifecycle import get_run
from control_api.problems import (
    ApiProblem,
    CommandNotApplied,
    ConfigurationRefused,
    RunFailed,
)
from control_api.tables import AttemptRow, CommandRow, RunRow
from control_api.views import command_path, command_view, run_path, run_view
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.runs import RunStatus

_NOT_BEGUN = (RunStatus.QUEUED, RunStatus.STARTING)


def answer_command(row: CommandRow, wait: int) -> Response:
    """202 with the command; after a wait for its receipt, 200 if it acted.

    Raises:
        CommandNotApplied: the receipt came and says that it did not act.
    """
    database = context().database

    def look() -> CommandRow | None:
        with database.reading() as session:
            now = session.get_one(CommandRow, (row.run_id, row.seq))
        return now if now.state in FINAL_STATES else None

    if wait:
        row = database.bell.await_value(run_key(row.run_id), look, wait) or row
    view = command_view(row)
    if view.receipt is not None and view.state is not CommandState.APPLIED:
        raise CommandNotApplied(view.receipt)
    headers = _headers(command_path(row.run_id, row.seq), wait)
    return answer(view, 200 if view.receipt is not None else 202, headers)


def answer_new_run(run_id: str, wait: int) -> Response:
    """201 with the run; `wait` waits until its trainer takes the first step, or cannot.

    Raises:
        ConfigurationRefused: its trainer would not take its configuration.
        CommandNotApplied: the checkpoint that it was to start from was not taken.
        RunFailed: it failed otherwise.
    """
    database = context().database

    def look() -> RunRow | None:
        with database.reading() as session:
            now = get_run(session, run_id)
        return None if now.status in _NOT_BEGUN else now

    if wait:
        database.bell.await_value(run_key(run_id), look, wait)
    with database.reading() as session:
        run = get_run(session, run_id)
        if run.status is RunStatus.FAILED:
            raise _why_failed(session, run)
        view = run_view(session, run)
    return answer(view, 201, _headers(run_path(run_id), wait))


def _why_failed(session: Session, run: RunRow) -> ApiProblem:
    attempt = session.get(AttemptRow, (run.id, run.attempt))
    if attempt is not None and attempt.exit_code == BAD_CONFIGURATION:
        return ConfigurationRefused(run.error or "", faults=refusals(run), run=run.id)
    checkpoint = (
        session.get(CommandRow, (run.parent_id, run.parent_seq)) if run.parent_seq else None
    )
    if checkpoint is not None and checkpoint.receipt is not None:
        receipt = Receipt.model_validate(checkpoint.receipt)
        if receipt.state is not CommandState.APPLIED:
            return CommandNotApplied(receipt)
    return RunFailed(f"Run {run.id} was made, and failed: {run.error}", run=run.id)


def _headers(location: str, wait: int) -> dict[str, str]:
    headers = {"Location": location}
    if wait:
        headers["Preference-Applied"] = f"wait={wait}"
    return headers
