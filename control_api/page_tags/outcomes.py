"""What became of the commands that tags were: from their receipts, once there are any."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.columns import TagState
from control_api.tables import CommandRow, PageTagRow, RunRow
from midcourse.contract.receipts import FINAL_STATES, CommandState
from midcourse.contract.runs import ENDED

GIVE_UP = timedelta(days=7)
"""So long after its run's end a page is tried to be told; nobody looks at its tags by then."""


@dataclass(frozen=True)
class Outcome:
    """What became of a tag."""

    state: TagState
    child: str | None = None
    """The run that it made, or that goes on in place of this one."""
    reason: str | None = None
    """Why it was refused."""


def new_outcomes(session: Session) -> list[tuple[PageTagRow, Outcome]]:
    """Tags whose command was accepted, and of which it is known by now what became of it."""
    obeyed = select(PageTagRow).where(
        PageTagRow.closed_at.is_(None), PageTagRow.state == TagState.OBEYED
    )
    found = [(row, _outcome(session, row)) for row in session.scalars(obeyed)]
    return [(row, outcome) for row, outcome in found if outcome is not None]


def _outcome(session: Session, row: PageTagRow) -> Outcome | None:
    if row.child is not None:
        return _of_fork(session, session.get_one(RunRow, row.child))
    return _of_command(session.get_one(CommandRow, (row.run_id, row.seq)))


def _of_fork(session: Session, child: RunRow) -> Outcome | None:
    """A fork from now is one as soon as its checkpoint is there."""
    if child.parent_checkpoint is not None:
        return Outcome(TagState.DONE, child.id)
    if child.status in ENDED:
        return Outcome(TagState.REFUSED, reason=child.error or f"the fork is {child.status}")
    asked = session.get(CommandRow, (child.parent_id, child.parent_seq))
    if asked is not None and asked.state in FINAL_STATES - {CommandState.APPLIED}:
        return Outcome(TagState.REFUSED, reason=_why(asked))
    return None


def _of_command(command: CommandRow) -> Outcome | None:
    if command.state not in FINAL_STATES:
        return None
    if command.state is CommandState.APPLIED:
        return Outcome(TagState.DONE, command.action.get("child"))
    return Outcome(TagState.REFUSED, reason=_why(command))


def _why(command: CommandRow) -> str:
    said = (command.receipt or {}).get("reason")
    return f"the command was {command.state}{f': {said}' if said else ''}"


def untold(session: Session) -> list[PageTagRow]:
    """Tags of which the page is still to be told, the oldest first."""
    known = (
        select(PageTagRow)
        .where(
            PageTagRow.closed_at.is_(None),
            PageTagRow.shown_at.is_(None),
            PageTagRow.state != TagState.OBEYED,
        )
        .order_by(PageTagRow.seen_at)
    )
    return list(session.scalars(known))


def is_hopeless(session: Session, row: PageTagRow, now: datetime) -> bool:
    """Whether a page could not be told for so long that nobody will look for it there."""
    run = session.get_one(RunRow, row.run_id)
    return run.deleted_at is not None or (
        run.ended_at is not None and max(run.ended_at, row.seen_at) < now - GIVE_UP
    )
