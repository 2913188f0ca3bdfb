"""Which runs need something done: one query for each reason.

Those whose trainers need a look are found by `control_api.trainers`, which asks the launcher too.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from control_api.columns import Desired
from control_api.tables import AttemptRow, RunRow
from midcourse.contract.runs import ENDED, STEERABLE, RunStatus

TRACKING_SECONDS = 60.0
"""How long after a run's end its tracker's last words are looked for."""

Level = Callable[[Session, datetime], Sequence[str]]
"""Finds runs by their ids, the oldest first."""


def forks_that_wait(session: Session, _now: datetime) -> Sequence[str]:
    """Forks from now, whose checkpoint is being taken."""
    return _runs(
        session,
        RunRow.status == RunStatus.QUEUED,
        RunRow.reverts.is_(False),
        RunRow.parent_seq.is_not(None),
        RunRow.parent_checkpoint.is_(None),
    )


def not_as_wanted(session: Session, _now: datetime) -> Sequence[str]:
    """Those without a trainer that are to stop, to make room, or to come back from that."""
    suspended = RunRow.status == RunStatus.SUSPENDED
    return _runs(
        session,
        RunRow.status.not_in(ENDED),
        (RunRow.desired == Desired.STOPPED)
        | ((RunRow.desired == Desired.SUSPENDED) & ~suspended)
        | ((RunRow.desired == Desired.TRAINED) & suspended),
        ~_HAS_TRAINER,
        # Not a child that awaits its revert: that ends with the command.
        (RunRow.attempt > 0) | RunRow.reverts.is_(False),
    )


def with_idle_slot(session: Session, _now: datetime) -> Sequence[str]:
    """Those that have a slot for nothing. Whoever took their trainer away died before the rest."""
    idle = {*ENDED, RunStatus.SUSPENDED, RunStatus.QUEUED}
    return _runs(session, RunRow.slot.is_not(None), RunRow.status.in_(idle), ~_HAS_TRAINER)


def without_trainer(session: Session, _now: datetime) -> Sequence[str]:
    """Those that should train, and have nobody to do it."""
    return _runs(
        session, RunRow.status.in_(STEERABLE), RunRow.desired == Desired.TRAINED, ~_HAS_TRAINER
    )


def pinned_in_vain(session: Session, _now: datetime) -> Sequence[str]:
    """Branches that ended before they began, and still keep their parent's checkpoint."""
    return _runs(session, RunRow.status.in_(ENDED), RunRow.attempt == 0, RunRow.pinned.is_(True))


def lately_ended(session: Session, now: datetime) -> Sequence[str]:
    """Those whose tracker may still be sending."""
    since = now - timedelta(seconds=TRACKING_SECONDS)
    return _runs(session, RunRow.ended_at > since, RunRow.attempt > 0)


def deleted_in_part(session: Session, now: datetime) -> Sequence[str]:
    """Deleted runs of which there is still something to go: whoever deleted them was killed."""
    query = select(RunRow.id).where(RunRow.clear_after <= now).order_by(RunRow.clear_after)
    return session.scalars(query).all()


_HAS_TRAINER = exists().where(AttemptRow.run_id == RunRow.id, AttemptRow.ended_at.is_(None))


def _runs(session: Session, *conditions: ColumnElement[bool]) -> Sequence[str]:
    there = RunRow.deleted_at.is_(None)
    query = select(RunRow.id).where(there, *conditions).order_by(RunRow.created_at)
    return session.scalars(query).all()
