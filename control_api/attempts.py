"""Starts of a run's trainer: each change of an attempt, within the caller's transaction."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.tables import AttemptRow, RunRow
from control_api.tokens import revoke_trainer_tokens
from midcourse.contract.base import utc_now
from midcourse.contract.runs import ENDED, RunStatus


def begin_attempt(session: Session, run: RunRow, launcher: str, at: datetime) -> AttemptRow:
    """Note the intent to start a trainer, before it is started."""
    run.attempt += 1
    run.status = RunStatus.STARTING
    run.heartbeat_at = None
    attempt = AttemptRow(run_id=run.id, number=run.attempt, launcher=launcher, started_at=at)
    session.add(attempt)
    return attempt


def open_attempt(session: Session, run: RunRow) -> AttemptRow | None:
    """The attempt that runs, or is about to; None where no trainer is supposed to live."""
    return session.scalar(
        select(AttemptRow).where(AttemptRow.run_id == run.id, AttemptRow.ended_at.is_(None))
    )


def end_attempt(
    session: Session,
    run: RunRow,
    attempt: AttemptRow,
    exit_code: int | None,
    reason: str,
    at: datetime,
) -> None:
    """Note that a trainer is gone. A run that goes on is `interrupted`, else its tokens end."""
    attempt.ended_at = at
    attempt.exit_code = exit_code
    attempt.step = run.step
    attempt.reason = reason
    attempt.paused = run.status is RunStatus.PAUSED
    run.steps_per_second = None
    if run.status in ENDED:
        revoke_trainer_tokens(session, run.id)
    else:  # an attempt that lives on unseen must be able to hear that it has lost its place
        run.status = RunStatus.INTERRUPTED


def move_attempt(session: Session, parent: RunRow, child: RunRow) -> None:
    """Move the trainer's process from a run to the one that took its place."""
    attempt = open_attempt(session, parent)
    if attempt is None or child.attempt:
        return
    now = utc_now()
    attempt.ended_at = now
    attempt.step = parent.step
    attempt.reason = f"went on as run {child.id}"
    child.attempt = attempt.number
    session.add(
        AttemptRow(
            run_id=child.id,
            number=attempt.number,
            launcher=attempt.launcher,
            handle=attempt.handle,
            started_at=now,
        )
    )
    if child.status is RunStatus.QUEUED:
        child.status = RunStatus.STARTING
