"""Every change of a run's, a command's or an attempt's state, each within the caller's transaction.

Nothing else sets `status`, `state` or `ended_at`: so the rules that tie them together are here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.bell import RECONCILER, run_key
from control_api.database import ring_after
from control_api.problems import RunNotReady, UnknownRun
from control_api.tables import AttemptRow, AuditRow, CommandRow, Desired, RunRow
from control_api.tokens import extend_trainer_tokens, revoke_trainer_tokens
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Action, Revert, SetParameters, Stop
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.runs import ENDED, RunStatus

PENDING = frozenset(CommandState) - FINAL_STATES


@dataclass(frozen=True)
class Requester:
    """Who asks, from where: what the audit keeps of a request."""

    actor: str
    address: str | None = None
    request_id: str | None = None


def get_run(session: Session, run_id: str, *, for_change: bool = False) -> RunRow:
    """A run by its id; `for_change` keeps other transactions from changing it meanwhile.

    Raises:
        UnknownRun: there is none.
    """
    run = session.get(RunRow, run_id, with_for_update=for_change or None)
    if run is None:
        raise UnknownRun(f"There is no run {run_id!r}; GET /api/v1/runs lists all.")
    return run


def record(
    session: Session, by: Requester, action: str, run: RunRow, seq: int | None = None
) -> None:
    """Add a line to the audit."""
    session.flush()  # the run and the command that it points to come first
    session.add(
        AuditRow(
            at=utc_now(),
            actor=by.actor,
            address=by.address,
            request_id=by.request_id,
            action=action,
            run_id=run.id,
            seq=seq,
        )
    )


def require_not_ended(run: RunRow) -> None:
    """Refuse a command for a run that will never train again.

    Raises:
        RunNotReady: naming the status.
    """
    if run.status in ENDED:
        raise RunNotReady(
            f"Run {run.id} has ended: it is {run.status}, and takes no more commands. It can still "
            "be forked from its checkpoints: 'latest', 'best', 'step-N'."
        )


def accept_command(
    session: Session, run: RunRow, action: Action, by: Requester, reason: str | None = None
) -> CommandRow:
    """Number a command and store it; it reaches the trainer by its long-poll.

    Raises:
        RunNotReady: the run has ended.
    """
    require_not_ended(run)
    run.last_seq += 1
    row = CommandRow(
        run_id=run.id,
        seq=run.last_seq,
        action=action.model_dump(mode="json"),
        reason=reason,
        actor=by.actor,
        accepted_at=utc_now(),
        state=CommandState.ACCEPTED,
    )
    session.add(row)
    if isinstance(action, SetParameters):
        run.revision += 1
    if isinstance(action, Stop):
        run.desired = Desired.STOPPED
        ring_after(session, RECONCILER)  # if it has not begun, nobody else will take the command
    record(session, by, action.kind, run, row.seq)
    ring_after(session, run_key(run.id))
    return row


def settle_command(session: Session, row: CommandRow, receipt: Receipt) -> None:
    """Give a command its receipt, for good, with what follows from it."""
    row.state = receipt.state
    row.receipt = receipt.model_dump(mode="json")
    ring_after(session, run_key(row.run_id))
    ring_after(session, RECONCILER)  # a fork may wait for it
    if row.action["kind"] == "stop" and receipt.state is not CommandState.APPLIED:
        get_run(session, row.run_id).desired = Desired.TRAINED
    if row.action["kind"] == "revert":
        _settle_revert(session, Revert.model_validate(row.action), row, receipt)


def _settle_revert(session: Session, revert: Revert, row: CommandRow, receipt: Receipt) -> None:
    child = get_run(session, revert.child, for_change=True)
    if receipt.state is CommandState.APPLIED:
        parent = get_run(session, row.run_id, for_change=True)
        _take_over(session, parent, child)
        if parent.status not in ENDED:
            end_run(session, parent, RunStatus.SUPERSEDED)
    else:
        why = f": {receipt.reason}" if receipt.reason else ""
        end_run(session, child, RunStatus.FAILED, error=f"The revert was {receipt.state}{why}")


def _take_over(session: Session, parent: RunRow, child: RunRow) -> None:
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


def end_run(
    session: Session,
    run: RunRow,
    status: RunStatus,
    *,
    error: str | None = None,
    at: datetime | None = None,
) -> None:
    """End a run for good; what is still asked of it expires."""
    assert status in ENDED
    run.status = status
    run.ended_at = at or utc_now()
    run.steps_per_second = None
    if error is not None:
        run.error = error
    superseded = status is RunStatus.SUPERSEDED
    pending = session.scalars(
        select(CommandRow)
        .where(CommandRow.run_id == run.id, CommandRow.state.in_(PENDING))
        .order_by(CommandRow.seq)
    )
    for row in pending.all():
        receipt = Receipt(
            run=run.id,
            seq=row.seq,
            state=CommandState.SUPERSEDED if superseded else CommandState.EXPIRED,
            reason=f"run {run.id} ended before it could act: it is {status}",
            at=utc_now(),
        )
        settle_command(session, row, receipt)
    ring_after(session, run_key(run.id))
    ring_after(session, RECONCILER)


def stop_before_start(session: Session, run: RunRow) -> None:
    """End a queued run that was told to stop: its trainer never runs."""
    for row in session.scalars(
        select(CommandRow).where(CommandRow.run_id == run.id, CommandRow.state.in_(PENDING))
    ):
        if row.action["kind"] == "stop":
            receipt = Receipt(
                run=run.id,
                seq=row.seq,
                state=CommandState.APPLIED,
                reason="the run had not begun",
                at=utc_now(),
            )
            settle_command(session, row, receipt)
    end_run(session, run, RunStatus.STOPPED)


def begin_attempt(session: Session, run: RunRow, launcher: str, at: datetime) -> AttemptRow:
    """Note the intent to start a trainer, before it is started."""
    run.attempt += 1
    run.status = RunStatus.STARTING
    run.heartbeat_at = None
    attempt = AttemptRow(run_id=run.id, number=run.attempt, launcher=launcher, started_at=at)
    session.add(attempt)
    ring_after(session, run_key(run.id))
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
    ring_after(session, run_key(run.id))


def await_revert(session: Session, parent: RunRow, child: RunRow) -> None:
    """Let the parent's trainer speak for the child, whose log it will ship one day."""
    session.flush()
    extend_trainer_tokens(session, parent.id, child.id)


def children_in_waiting(session: Session, run: RunRow) -> list[str]:
    """The runs that a revert under way will put in this one's place."""
    return list(
        session.scalars(
            select(RunRow.id).where(
                RunRow.parent_id == run.id,
                RunRow.reverts,
                RunRow.attempt == 0,
                RunRow.status == RunStatus.QUEUED,
            )
        )
    )
