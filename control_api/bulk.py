"""One action for many runs: each in a transaction of its own, so that no run holds up another."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from control_api import branches, deleting, editing
from control_api.accepting import accept_command, require_not_ended
from control_api.asking import Made, Requester, note
from control_api.bell import run_key
from control_api.database import Database
from control_api.errors import problem_of
from control_api.lifecycle import get_run
from control_api.live import check_live
from control_api.problems import CommandNotApplied, TooManyRuns
from control_api.run_query import ids_of_runs
from control_api.tables import CommandRow
from control_api.views import command_view, run_path
from midcourse.contract.api.actions import MAX_RUNS, ActionResult, ActOnRuns
from midcourse.contract.api.audit import Outcome
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.api.runs import RunFilter
from midcourse.contract.commands import (
    Action,
    Pause,
    Resume,
    SetParameters,
    Stop,
    Suspend,
    TakeCheckpoint,
)
from midcourse.contract.errors import Problem
from midcourse.contract.receipts import FINAL_STATES, CommandState


@dataclass(frozen=True)
class Bulk:
    """What is to be done to each run."""

    database: Database
    home: Path
    wanted: ActOnRuns

    def act(self, run_id: str, by: Requester) -> Made:
        """Do it to one run.

        Raises:
            ApiProblem, InvalidInput: nothing was done to it.
        """
        return _ACTS[self.wanted.action](self, run_id, by)

    def rehearse(self, run_id: str, by: Requester) -> Made:
        """Find out whether `act` would be refused.

        Raises:
            ApiProblem, InvalidInput: it would be.
        """
        if self.wanted.action == "delete":
            deleting.preview_deletion(self.database, self.home, run_id)
            return Made(run_id)
        rehearsal = Bulk(_Rehearsal(self.database), self.home, self.wanted)
        return Made(rehearsal.act(run_id, by.without_key()).run)


def runs_of(database: Database, wanted: RunFilter) -> list[str]:
    """The runs that a filter means, the newest first.

    Raises:
        TooManyRuns: there are more than one request may reach.
    """
    with database.reading() as session:
        found, total = ids_of_runs(session, wanted, MAX_RUNS)
    if total > MAX_RUNS:
        raise TooManyRuns(
            f"The filter means {total} runs, and one request reaches {MAX_RUNS} at most. Narrow it "
            "down, such as by status, experiment or created_at, and send several.",
            total=total,
        )
    return found


def try_each(
    run_ids: Sequence[str], act: Callable[[str], Made]
) -> Iterator[tuple[str, Made | Problem]]:
    """Act on each run, whatever comes of the others."""
    for run_id in run_ids:
        try:
            yield run_id, act(run_id)
        except Exception as error:
            yield run_id, problem_of(error, run_path(run_id))


def note_refusals(
    database: Database,
    wanted: ActOnRuns,
    outcomes: Sequence[tuple[str, Made | Problem]],
    by: Requester,
) -> None:
    """A line in the audit for each run that refused."""
    refused = [(run_id, found) for run_id, found in outcomes if isinstance(found, Problem)]
    if not refused:
        return
    with database.writing() as session:
        for run_id, problem in refused:
            note(
                session,
                by,
                wanted.action,
                outcome=Outcome.REFUSED,
                run_id=run_id,
                status=problem.status,
                problem=problem.type,
            )


def results_of(
    database: Database, outcomes: Sequence[tuple[str, Made | Problem]], wait: float
) -> list[ActionResult]:
    """What became of each run, once all have their receipts or the time is over."""
    keys = [
        (made.run, made.seq)
        for _, made in outcomes
        if isinstance(made, Made) and made.seq is not None
    ]
    _await_receipts(database, keys, wait)
    with database.reading() as session:
        rows = _commands(session, keys)
    return [_result(run_id, found, rows) for run_id, found in outcomes]


def _result(
    run_id: str, found: Made | Problem, rows: dict[tuple[str, int], CommandRow]
) -> ActionResult:
    if isinstance(found, Problem):
        return ActionResult(run=run_id, status=found.status, command=None, problem=found)
    if found.seq is None:
        return ActionResult(run=run_id, status=200, command=None, problem=None)
    view = command_view(rows[found.run, found.seq])
    if view.receipt is None:
        return ActionResult(run=run_id, status=202, command=view, problem=None)
    problem = None
    if view.state is not CommandState.APPLIED:
        problem = problem_of(CommandNotApplied(view.receipt), run_path(run_id))
    status = 200 if problem is None else problem.status
    return ActionResult(run=run_id, status=status, command=view, problem=problem)


def _await_receipts(database: Database, keys: list[tuple[str, int]], seconds: float) -> None:
    deadline = time.monotonic() + seconds

    for key in keys:
        left = deadline - time.monotonic()
        if left <= 0:
            return

        def look(key: tuple[str, int] = key) -> bool | None:
            with database.reading() as session:
                return session.get_one(CommandRow, key).state in FINAL_STATES or None

        database.bell.await_value(run_key(key[0]), look, left)


def _commands(session: Session, keys: list[tuple[str, int]]) -> dict[tuple[str, int], CommandRow]:
    query = select(CommandRow).where(tuple_(CommandRow.run_id, CommandRow.seq).in_(keys))
    return {(row.run_id, row.seq): row for row in session.scalars(query)}


class _Rehearsal(Database):
    """A database in which everything can be done, and nothing is kept."""

    def __init__(self, database: Database) -> None:
        self.engine, self.bell = database.engine, database.bell

    @contextmanager
    def writing(self) -> Iterator[Session]:
        writer = self.engine.execution_options(writes=True)
        with Session(writer, expire_on_commit=False) as session:
            yield session
            session.flush()
            session.rollback()


_Act = Callable[[Bulk, str, Requester], Made]


def _command(action: Action) -> _Act:
    def act(bulk: Bulk, run_id: str, by: Requester) -> Made:
        with bulk.database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            return accept_command(session, run, action, by, _how(bulk))[1]

    return act


def _set(bulk: Bulk, run_id: str, by: Requester) -> Made:
    with bulk.database.writing() as session:
        run = get_run(session, run_id, for_change=True)
        require_not_ended(run)
        action = SetParameters(changes=check_live(run, bulk.wanted.changes or {}, "changes."))
        return accept_command(session, run, action, by, _how(bulk))[1]


def _undo(bulk: Bulk, run_id: str, by: Requester) -> Made:
    return branches.undo(bulk.database, run_id, by, _how(bulk))


def _archive(bulk: Bulk, run_id: str, by: Requester) -> Made:
    archived = bulk.wanted.action == "archive"
    return editing.archive_run(bulk.database, bulk.home, run_id, by, archived=archived)


def _tag(bulk: Bulk, run_id: str, by: Requester) -> Made:
    return editing.tag_run(bulk.database, bulk.home, run_id, bulk.wanted.tags or [], by)


def _untag(bulk: Bulk, run_id: str, by: Requester) -> Made:
    return editing.untag_run(bulk.database, bulk.home, run_id, bulk.wanted.tags or [], by)


def _delete(bulk: Bulk, run_id: str, by: Requester) -> Made:
    return deleting.delete_run(bulk.database, bulk.home, run_id, by)


def _how(bulk: Bulk) -> CommandQuery:
    return CommandQuery(reason=bulk.wanted.reason)


_ACTS: dict[str, _Act] = {
    "pause": _command(Pause()),
    "resume": _command(Resume()),
    "suspend": _command(Suspend()),
    "stop": _command(Stop()),
    "checkpoint": _command(TakeCheckpoint(pin=True)),
    "undo": _undo,
    "set": _set,
    "archive": _archive,
    "unarchive": _archive,
    "delete": _delete,
    "tag": _tag,
    "untag": _untag,
}
