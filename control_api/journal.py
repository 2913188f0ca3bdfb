"""A run's commands in the order in which they acted, as the database knows them."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.tables import CommandRow
from midcourse.contract.api.commands import JournalEntry
from midcourse.contract.receipts import Receipt


def in_order_of_acting(rows: Iterable[CommandRow]) -> list[CommandRow]:
    """Commands that have a receipt, by step and then by the time of the receipt.

    One that never came to a step boundary stands where its receipt was written.
    """
    by_time = sorted(rows, key=lambda row: (_receipt(row).at, row.seq))
    keyed, reached = [], -1
    for row in by_time:
        step = _receipt(row).step
        reached = reached if step is None else max(reached, step)
        keyed.append((reached if step is None else step, row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]


def journal_of(session: Session, run_id: str) -> list[JournalEntry]:
    """What became of each command of a run that has its receipt."""
    rows = session.scalars(
        select(CommandRow).where(CommandRow.run_id == run_id, CommandRow.receipt.is_not(None))
    )
    return [_entry(row, _receipt(row)) for row in in_order_of_acting(rows)]


def _entry(row: CommandRow, receipt: Receipt) -> JournalEntry:
    return JournalEntry.model_validate(
        {
            "run": row.run_id,
            "seq": row.seq,
            "actor": row.actor,
            "action": row.action,
            "reason": row.reason,
            "accepted_at": row.accepted_at,
            "at": row.at,
            "state": receipt.state,
            "step": receipt.step,
            "before": receipt.before,
            "after": receipt.after,
            "details": receipt.details,
            "why": receipt.reason,
            "ended_at": receipt.at,
        }
    )


def _receipt(row: CommandRow) -> Receipt:
    return Receipt.model_validate(row.receipt)
