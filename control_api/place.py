"""A trainer's place: only the process that is a run's present attempt may speak for it.

A run that is to take its parent's place by a revert may hear from the trainer before the parent's
log has told that it did: until then the parent's attempt is the one that counts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, Select, and_, bindparam, case, select
from sqlalchemy.orm import Session, aliased

from control_api.dialects import among
from control_api.lifecycle import get_run
from control_api.problems import LostPlace
from control_api.tables import AttemptRow, CommandRow, RunRow
from control_api.wishes import PENDING
from midcourse.contract.runs import ENDED, RunStatus


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
        .where(among(session, RunRow.id, [run.id for run in runs]))
    )
    return {row.run_id: row.ended_at for row in rows}


def _place_and_commands() -> Select[int, RunStatus, datetime | None, int]:
    run, holder = aliased(RunRow), aliased(RunRow)
    awaits_place = and_(run.reverts, run.attempt == 0, run.parent_id.is_not(None))
    waiting = and_(
        CommandRow.run_id == run.id,
        CommandRow.seq > bindparam("after", type_=Integer),
        CommandRow.state.in_(PENDING),
    )
    present = and_(AttemptRow.run_id == holder.id, AttemptRow.number == holder.attempt)
    return (
        select(holder.attempt, holder.status, AttemptRow.ended_at, CommandRow.seq)
        .select_from(run)
        .join(holder, holder.id == case((awaits_place, run.parent_id), else_=run.id))
        .outerjoin(AttemptRow, present)
        .outerjoin(CommandRow, waiting)
        .where(run.id == bindparam("run_id"))
        .order_by(CommandRow.seq)
    )


PLACE_AND_COMMANDS = _place_and_commands()
"""One query for all that a long-poll looks at: who has the place, and which commands wait.

Of `run_id`, and numbered above `after`. Its rows have `attempt`, `status`, `ended_at`, and `seq`,
which is null where none waits. It is made once, before there are threads: those that build with
the same aliases at the same time mix them up.
"""


def check_place_of(run_id: str, attempt: int, found: Row[Any]) -> None:
    """The same as `require_place`, by a row of `PLACE_AND_COMMANDS`.

    Raises:
        LostPlace: the place is another's.
    """
    check_place(run_id, attempt, found.attempt, found.status, found.ended_at)
