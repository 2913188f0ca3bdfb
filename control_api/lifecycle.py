"""Every end of a run or a command, and what is done to a run that no trainer has to be asked for.

Each within the caller's transaction.

Beside `control_api.attempts`, `control_api.accepting` and what a run's log says, nothing else sets
`status`, `state` or `ended_at`: so the rules that tie them together are here.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.attempts import move_attempt, release_slot
from control_api.columns import Desired
from control_api.problems import RunDeleted, UnknownRun
from control_api.tables import CommandRow, RunRow
from control_api.wishes import PENDING, is_wish, pending_wishes, wish_settled
from midcourse.contract.base import utc_now
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.runs import ENDED, RunStatus

SUCCEEDING = frozenset({"revert", "undo"})
"""Kinds of commands by which a run gives its place to a child."""


def get_run(session: Session, run_id: str, *, for_change: bool = False) -> RunRow:
    """A run by its id; `for_change` keeps other transactions from changing it meanwhile.

    Raises:
        UnknownRun: there is none.
        RunDeleted: there was one.
    """
    # Rows that point to it may be added meanwhile.
    run = session.get(RunRow, run_id, with_for_update={"key_share": True} if for_change else None)
    if run is None:
        raise UnknownRun(f"There is no run {run_id!r}; GET /api/v1/runs lists all.")
    if run.deleted_at is not None:
        moment = run.deleted_at.isoformat()
        raise RunDeleted(f"Run {run_id} was deleted at {moment}.", deleted_at=moment)
    return run


def settle_command(session: Session, row: CommandRow, receipt: Receipt) -> None:
    """Give a command its receipt, for good, with what follows from it."""
    row.state = receipt.state
    row.receipt = receipt.model_dump(mode="json")
    if is_wish(row):
        wish_settled(session, get_run(session, row.run_id), row, receipt)
    if row.action["kind"] in SUCCEEDING:
        _settle_succession(session, row, receipt)


def _settle_succession(session: Session, row: CommandRow, receipt: Receipt) -> None:
    """Put the child of a revert or an undo in its parent's place, or give it up."""
    child = session.get(RunRow, row.action["child"], with_for_update=True)
    if child is None or not child.reverts or child.parent_id != row.run_id:
        return  # a dry run, or the run gave itself the command and it did not act
    if receipt.state is CommandState.APPLIED:
        parent = get_run(session, row.run_id, for_change=True)
        _learn_checkpoint(child, receipt)
        move_attempt(session, parent, child)
        if parent.status not in ENDED:
            end_run(session, parent, RunStatus.SUPERSEDED)
    else:
        why = f": {receipt.reason}" if receipt.reason else ""
        error = f"The {row.action['kind']} was {receipt.state}{why}"
        end_run(session, child, RunStatus.FAILED, error=error)


def _learn_checkpoint(child: RunRow, receipt: Receipt) -> None:
    """Where a child goes on from: of an undo, only the trainer knows; it has pinned it, too."""
    checkpoint, of = receipt.after.get("checkpoint"), receipt.details.get("checkpoint_run")
    if child.parent_checkpoint is None and isinstance(checkpoint, str):
        child.parent_checkpoint = checkpoint
        child.pinned = True
    if isinstance(of, str) and of != child.parent_id:
        child.checkpoint_run = of


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
    release_slot(session, run)
    if error is not None:
        run.error = error
    superseded = status is RunStatus.SUPERSEDED
    for row in _pending(session, run):
        state = CommandState.SUPERSEDED if superseded else CommandState.EXPIRED
        _settle(session, row, state, f"run {run.id} ended before it could act: it is {status}")


def do_as_wanted(session: Session, run: RunRow) -> None:
    """Do what is wanted of a run that has no trainer, as far as none is needed for it."""
    if run.desired is Desired.STOPPED:
        _stop(session, run)
    elif run.desired is Desired.SUSPENDED and run.status is not RunStatus.SUSPENDED:
        _suspend(session, run)
    elif run.desired is Desired.TRAINED and run.status is RunStatus.SUSPENDED:
        run.status = RunStatus.QUEUED


def _stop(session: Session, run: RunRow) -> None:
    """End a run that was told to stop and has no trainer: it never gets one again."""
    _grant(session, run, "stop", f"it had no trainer: it was {run.status}")
    end_run(session, run, RunStatus.STOPPED)


def _suspend(session: Session, run: RunRow) -> None:
    """Suspend a run that was told to make room and has no trainer."""
    why = "it had no trainer: it was queued"
    if run.status is not RunStatus.QUEUED:
        why = (
            "its trainer was gone before it could say so; the run goes on from its last "
            "checkpoint, and takes again what came after that"
        )
    granted = _grant(session, run, "suspend", why)
    for row in pending_wishes(session, run):
        if row.seq < granted:
            why = f"command {granted} suspended the run before it went on"
            _settle(session, row, CommandState.CANCELLED, why)
    run.status = RunStatus.SUSPENDED
    run.steps_per_second = None
    release_slot(session, run)


def _grant(session: Session, run: RunRow, kind: str, reason: str) -> int:
    """Say of the wishes of a kind that they have come true.

    Returns:
        The number of the last one; 0 where there was none.
    """
    granted = 0
    for row in pending_wishes(session, run):
        if row.action["kind"] == kind:
            _settle(session, row, CommandState.APPLIED, reason)
            granted = row.seq
    return granted


def _settle(session: Session, row: CommandRow, state: CommandState, reason: str) -> None:
    receipt = Receipt(run=row.run_id, seq=row.seq, state=state, reason=reason, at=utc_now())
    settle_command(session, row, receipt)


def _pending(session: Session, run: RunRow) -> list[CommandRow]:
    waiting = (
        select(CommandRow)
        .where(CommandRow.run_id == run.id, CommandRow.state.in_(PENDING))
        .order_by(CommandRow.seq)
    )
    return list(session.scalars(waiting))
