"""Wishes: commands by which people say whether a run should train at all: stop, suspend, resume.

What is wanted of a run (`desired`) follows from those that wait and from the last one that acted.
Only commands at once and in earnest are wishes: a scheduled one is the trainer's until it acts.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.columns import Desired
from control_api.tables import CommandRow, RunRow
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.runs import RunStatus

PENDING = frozenset(CommandState) - FINAL_STATES
_WISHES = {
    "stop": Desired.STOPPED,
    "suspend": Desired.SUSPENDED,
    "resume": Desired.TRAINED,
}


def is_wish(row: CommandRow) -> bool:
    """Whether a command says whether its run should train, from now on."""
    return row.action["kind"] in _WISHES and row.seq > 0 and row.at is None and not row.dry_run


def pending_wishes(session: Session, run: RunRow) -> list[CommandRow]:
    """Those that have no receipt, in order of their numbers."""
    waiting = (
        select(CommandRow)
        .where(CommandRow.run_id == run.id, CommandRow.seq > 0, CommandRow.state.in_(PENDING))
        .order_by(CommandRow.seq)
    )
    return [row for row in session.scalars(waiting) if is_wish(row)]


def wish_anew(session: Session, run: RunRow) -> None:
    """Take a wish that was just made into account."""
    run.desired = _desired(session, run, run.desired)


def wish_settled(session: Session, run: RunRow, row: CommandRow, receipt: Receipt) -> None:
    """Take the receipt of a wish into account: one that came to nothing is wished no longer."""
    if receipt.state is CommandState.APPLIED:
        rest = _WISHES[row.action["kind"]]
    else:
        rest = Desired.SUSPENDED if is_away(run) else Desired.TRAINED
    run.desired = _desired(session, run, rest)


def suspended_by_itself(session: Session, run: RunRow) -> None:
    """Take into account that a trainer made room: wanted so, unless a resume waits already."""
    run.desired = _desired(session, run, Desired.SUSPENDED)


def is_away(run: RunRow) -> bool:
    """Whether a run is suspended, or queued to come back from that."""
    return run.status is RunStatus.SUSPENDED or (run.status is RunStatus.QUEUED and run.attempt > 0)


def _desired(session: Session, run: RunRow, rest: Desired) -> Desired:
    """What is wanted: a stop, if one waits; else the last wish that waits, else what is left."""
    waiting = [_WISHES[row.action["kind"]] for row in pending_wishes(session, run)]
    if Desired.STOPPED in (*waiting, rest):
        return Desired.STOPPED
    return waiting[-1] if waiting else rest
