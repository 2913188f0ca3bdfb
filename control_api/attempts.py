"""Starts of a run's trainer: each change of an attempt, within the caller's transaction."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.columns import Desired
from control_api.tables import AttemptRow, RunRow
from control_api.tokens import revoke_trainer_tokens
from midcourse.contract.base import utc_now
from midcourse.contract.runs import ENDED, RunStatus


def begin_attempt(
    session: Session, run: RunRow, launcher: str, at: datetime, slot: str
) -> AttemptRow:
    """Note the intent to start a trainer in a slot, before it is started."""
    run.slot = slot
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
    told_to_go = run.desired is not Desired.TRAINED
    attempt.paused = told_to_go or run.status in (RunStatus.PAUSED, RunStatus.SUSPENDED)
    run.steps_per_second = None
    if run.status in ENDED:
        revoke_trainer_tokens(session, run.id)
    # Else, an attempt that lives on unseen must be able to hear that it has lost its place.
    elif run.status is not RunStatus.SUSPENDED:
        run.status = RunStatus.INTERRUPTED
    if run.status is not RunStatus.INTERRUPTED:
        run.slot = None


def release_slot(session: Session, run: RunRow) -> None:
    """Give a run's slot to others, unless its trainer may still be there."""
    if run.slot is not None and open_attempt(session, run) is None:
        run.slot = None


def move_attempt(session: Session, parent: RunRow, child: RunRow) -> None:
    """Move the trainer's process, and its slot, from a run to the one that took its place."""
    attempt = open_attempt(session, parent)
    if attempt is None or child.attempt:
        return
    now = utc_now()
    attempt.ended_at = now
    attempt.step = parent.step
    attempt.reason = f"went on as run {child.id}"
    child.attempt = attempt.number
    slot, parent.slot = parent.slot, None
    session.flush()  # no two runs have one slot, not even between two statements
    child.slot = slot
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


def incarnations(session: Session, run: RunRow) -> list[str]:
    """The runs that the present trainer has been, this one first: reverts change it, in place."""
    names, attempt = [run.id], run.attempt
    while run.reverts and run.parent_id is not None:
        parent = session.get(RunRow, run.parent_id)
        if parent is None or parent.attempt != attempt or parent.id in names:
            break
        names.append(parent.id)
        run = parent
    return names


def heirs(session: Session, attempt: AttemptRow) -> list[AttemptRow]:
    """The attempts of the runs that a trainer became after this one, by reverts."""
    found: list[AttemptRow] = []
    run_id: str | None = attempt.run_id
    while run_id is not None:
        run_id = session.scalar(
            select(RunRow.id).where(
                RunRow.parent_id == run_id, RunRow.reverts, RunRow.attempt == attempt.number
            )
        )
        if run_id is not None:
            found.append(session.get_one(AttemptRow, (run_id, attempt.number)))
    return found
