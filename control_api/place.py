"""A trainer's place: only the process that is a run's present attempt may speak for it.

A run that is to take its parent's place by a revert may hear from the trainer before the parent's
log has told that it did: until then the parent's attempt is the one that counts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, case, select
from sqlalchemy.orm import Session, aliased

from control_api.lifecycle import get_run
from control_api.problems import LostPlace
from control_api.tables import AttemptRow, CommandRow, RunRow
from control_api.wishes import PENDING
from midcourse.contract.runs import ENDED, RunStatus

# With names of their own: those that SQLAlchemy makes up are not safe where threads share an alias.
_Run, _Holder = aliased(RunRow, name="run"), aliased(RunRow, name="holder")
_AWAITS_PLACE = and_(_Run.reverts, _Run.attempt == 0, _Run.parent_id.is_not(None))


def require_place(session: Session, run: RunRow, attempt: int) -> None:
    """Refuse whoever is not the run's present trainer.

    Raises:
        LostPlace: it is another's.
    """
    holder = run
    if awaits_place(run) and run.parent_id is not None:
        holder = get_run(session, run.parent_id)
    row = session.get(AttemptRow, (holder.id, holder.attempt), populate_existing=True)
    ended_at = None if row is None else row.ended_at
    check_place(run.id, attempt, holder.attempt, holder.status, ended_at)


def awaits_place(run: RunRow) -> bool:
    """Whether the run's parent may still be the one that has the trainer."""
    return run.reverts and not run.attempt and run.parent_id is not None


def check_place(
    run_id: str, attempt: int, present: int, status: RunStatus, ended_at: datetime | None
) -> None:
    """Refuse an attempt that is not the present one, or has been given up.

    Raises:
        LostPlace: the attempt is over.
    """
    given_up = ended_at is not None and status not in ENDED
    if attempt != present or given_up:
        raise LostPlace(
            f"Run {run_id} is at attempt {present}; attempt {attempt} has lost its place "
            "and must end."
        )


def ends_of_attempts(session: Session, runs: Sequence[RunRow]) -> dict[str, datetime | None]:
    """When the present attempts of runs, whose rows the caller holds for change, have ended."""
    present = and_(RunRow.id == AttemptRow.run_id, RunRow.attempt == AttemptRow.number)
    rows = session.execute(
        select(AttemptRow.run_id, AttemptRow.ended_at)
        .join(RunRow, present)
        .where(RunRow.id.in_([run.id for run in runs]))
    )
    return {row.run_id: row.ended_at for row in rows}


def place_and_commands(run_id: str, after: int) -> Select[int, RunStatus, datetime | None, int]:
    """One query for all that a long-poll looks at: who has the place, and which commands wait.

    Its rows have `attempt`, `status`, `ended_at`, and `seq`, which is null where none waits.
    """
    waiting = and_(
        CommandRow.run_id == _Run.id, CommandRow.seq > after, CommandRow.state.in_(PENDING)
    )
    present = and_(AttemptRow.run_id == _Holder.id, AttemptRow.number == _Holder.attempt)
    return (
        select(_Holder.attempt, _Holder.status, AttemptRow.ended_at, CommandRow.seq)
        .select_from(_Run)
        .join(_Holder, _Holder.id == case((_AWAITS_PLACE, _Run.parent_id), else_=_Run.id))
        .outerjoin(AttemptRow, present)
        .outerjoin(CommandRow, waiting)
        .where(_Run.id == run_id)
        .order_by(CommandRow.seq)
    )


def check_place_of(run_id: str, attempt: int, found: Row[Any]) -> None:
    """The same as `require_place`, by a row of `place_and_commands`.

    Raises:
        LostPlace: the place is another's.
    """
    check_place(run_id, attempt, found.attempt, found.status, found.ended_at)
