"""Answers that may wait: `Prefer: wait=N` holds them back until it is known what came of a request.

A request that was accepted and came to nothing is never answered as a success.
"""

from flask import Response
from sqlalchemy.orm import Session

from control_api.answers import Gives
from control_api.asking import Made
from control_api.bell import run_key
from control_api.context import context
from control_api.http import answer
from control_api.idempotency import repeated_header
from control_api.judge import BAD_CONFIGURATION, refusals
from control_api.lifecycle import get_run
from control_api.problems import (
    ApiProblem,
    CommandNotApplied,
    ConfigurationRefused,
    RunFailed,
    RunNotReady,
    UnknownRun,
)
from control_api.submitting import runs_of_sweep
from control_api.tables import AttemptRow, CommandRow, RunRow
from control_api.views import API, command_path, command_view, run_path, run_view, run_views
from midcourse.contract.api.commands import CommandView
from midcourse.contract.api.runs import RunView
from midcourse.contract.api.submissions import NewRuns, SweepView
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.runs import RunStatus

COMMAND = (
    Gives(CommandView, 200, "It acted or, if it was a dry run, could.", headers=("Location",)),
    Gives(CommandView, 202, "It is accepted; its receipt is still to come.", headers=("Location",)),
)
"""What a view answers that makes a command."""
COMMAND_PROBLEMS = (UnknownRun, RunNotReady, CommandNotApplied)
NEW_RUN = Gives(RunView, 201, "The new run.", headers=("Location",))
"""What a view answers that makes a run."""
NEW_RUNS = Gives(NewRuns, 201, "The new run; of a sweep, all of them.", headers=("Location",))
"""What a view answers that makes one run, or a sweep."""
NEW_RUN_PROBLEMS = (ConfigurationRefused, CommandNotApplied, RunFailed)

_GOOD = (CommandState.APPLIED, CommandState.CHECKED)
_NOT_BEGUN = (RunStatus.QUEUED, RunStatus.STARTING)


def answer_command(made: Made, wait: int) -> Response:
    """202 with the command; 200 once it has acted or, for a dry run, was found good.

    Raises:
        CommandNotApplied: the receipt came and says that it did not act.
    """
    database = context().database
    assert made.seq is not None
    key = (made.run, made.seq)

    def look() -> CommandRow | None:
        with database.reading() as session:
            now = session.get_one(CommandRow, key)
        return now if now.state in FINAL_STATES else None

    row = database.bell.await_value(run_key(made.run), look, wait) if wait else None
    if row is None:
        with database.reading() as session:
            row = session.get_one(CommandRow, key)
    view = command_view(row)
    if view.receipt is not None and view.state not in _GOOD:
        raise CommandNotApplied(view.receipt)
    headers = _headers(command_path(*key), wait, made)
    return answer(view, 200 if view.receipt is not None else 202, headers)


def answer_withdrawal(seq: int, made: Made, wait: int) -> Response:
    """200 with the command that was withdrawn, or 202 with the one that asks the trainer to."""
    if made.seq != seq:
        return answer_command(made, wait)
    with context().database.reading() as session:
        view = command_view(session.get_one(CommandRow, (made.run, seq)))
    return answer(view, 200, _headers(command_path(made.run, seq), wait, made))


def answer_new_run(made: Made, wait: int, *, status: int = 201) -> Response:
    """`status` with the run; `wait` waits until its trainer takes the first step, or cannot.

    Raises:
        ConfigurationRefused: its trainer would not take its configuration.
        CommandNotApplied: the checkpoint that it was to start from was not taken.
        RunFailed: it failed otherwise.
    """
    database, run_id = context().database, made.run

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
    return answer(view, status, _headers(run_path(run_id), wait, made))


def answer_sweep(made: Made) -> Response:
    """201 with all runs of the sweep that a run came with."""
    with context().database.reading() as session:
        sweep = get_run(session, made.run).sweep
        assert sweep is not None
        runs = runs_of_sweep(session, sweep)
        view = SweepView(sweep=sweep, runs=run_views(session, runs))
    return answer(view, 201, _headers(f"{API}/runs?sweep={sweep}", 0, made))


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


def _headers(location: str, wait: int, made: Made) -> dict[str, str]:
    headers = {"Location": location}
    if wait:
        headers["Preference-Applied"] = f"wait={wait}"
    return headers | repeated_header(repeated=made.repeated)
