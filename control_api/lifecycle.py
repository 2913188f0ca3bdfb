"""Every end of a run or a command, each within the caller's transaction.

Beside `control_api.attempts`, `control_api.accepting` and what a run's log says, nothing else sets
`status`, `state` or `ended_at`: so the rules that tie them together are here.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.attempts import move_attempt
from control_api.columns import Desired
from control_api.problems import UnknownRun
from control_api.tables import CommandRow, RunRow
from midcourse.contract.base import utc_now
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.runs import ENDED, RunStatus

PENDING = frozenset(CommandState) - FINAL_STATES
SUCCEEDING = frozenset({"revert", "undo"})
"""Kinds of commands by which a run gives its place to a child."""


def get_run(session: Session, run_id: str, *, for_change: bool = False) -> RunRow:
    """A run by its id; `for_change` keeps other transactions from changing it meanwhile.

    Raises:
        UnknownRun: there is none.
    """
    run = session.get(RunRow, run_id, with_for_update=for_change or None)
    if run is None:
        raise UnknownRun(f"There is no run {run_id!r}; GET /api/v1/runs lists all.")
    return run


def settle_command(session: Session, row: CommandRow, receipt: Receipt) -> None:
    """Give a command its receipt, for good, with what follows from it."""
    row.state = receipt.state
    row.receipt = receipt.model_dump(mode="json")
    if is_wish_to_stop(row) and receipt.state is not CommandState.APPLIED:
        get_run(session, row.run_id).desired = Desired.TRAINED
    if row.action["kind"] in SUCCEEDING:
        _settle_succession(session, row, receipt)


def is_wish_to_stop(row: CommandRow) -> bool:
    """Whether a command says that a run should not train (any further), from now on."""
    return row.action["kind"] == "stop" and row.seq > 0 and row.at is None and not row.dry_run


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
    if error is not None:
        run.error = error
    superseded = status is RunStatus.SUPERSEDED
    for row in _pending(session, run):
        receipt = Receipt(
            run=run.id,
            seq=row.seq,
            state=CommandState.SUPERSEDED if superseded else CommandState.EXPIRED,
            reason=f"run {run.id} ended before it could act: it is {status}",
            at=utc_now(),
        )
        settle_command(session, row, receipt)


def stop_before_start(session: Session, run: RunRow) -> None:
    """End a queued run that was told to stop: its trainer never runs."""
    for row in _pending(session, run):
        if is_wish_to_stop(row):
            receipt = Receipt(
                run=run.id,
                seq=row.seq,
                state=CommandState.APPLIED,
                reason="the run had not begun",
                at=utc_now(),
            )
            settle_command(session, row, receipt)
    end_run(session, run, RunStatus.STOPPED)


def _pending(session: Session, run: RunRow) -> list[CommandRow]:
    waiting = (
        select(CommandRow)
        .where(CommandRow.run_id == run.id, CommandRow.state.in_(PENDING))
        .order_by(CommandRow.seq)
    )
    return list(session.scalars(waiting))
