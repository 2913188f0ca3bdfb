"""A run's commands in the order in which they acted, as the database knows them."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.database import Database
from control_api.tables import CommandRow
from midcourse.contract.api.commands import JournalEntry
from midcourse.contract.receipts import Receipt

AT_ONCE = 100

Told = tuple[datetime, int, int | None]
"""Of a receipt: when it was written, the command's number, and the step."""


def in_order_of_acting(rows: Iterable[CommandRow]) -> list[CommandRow]:
    """Commands of one run that have a receipt, by step and then by the time of the receipt."""
    by_seq = {row.seq: row for row in rows}
    receipts = [(_receipt(row), row.seq) for row in by_seq.values()]
    order = _order([(receipt.at, seq, receipt.step) for receipt, seq in receipts])
    return [by_seq[seq] for seq in order]


def journal_of(database: Database, run_id: str) -> Iterator[JournalEntry]:
    """What became of each command of a run that has its receipt, a few at a time.

    A receipt never changes, so what is read later belongs to what was read first.
    """
    with database.reading() as session:
        order = _order_of_run(session, run_id)
    for start in range(0, len(order), AT_ONCE):
        seqs = order[start : start + AT_ONCE]
        with database.reading() as session:
            rows = session.scalars(
                select(CommandRow).where(CommandRow.run_id == run_id, CommandRow.seq.in_(seqs))
            )
            by_seq = {row.seq: row for row in rows}
        for seq in seqs:
            if seq in by_seq:  # else the run was deleted meanwhile
                yield _entry(by_seq[seq], _receipt(by_seq[seq]))


def _order_of_run(session: Session, run_id: str) -> list[int]:
    rows = session.execute(
        select(
            CommandRow.receipt["at"].as_string(),
            CommandRow.seq,
            CommandRow.receipt["step"].as_float(),  # PostgreSQL's integers have 32 bits
        ).where(CommandRow.run_id == run_id, CommandRow.receipt.is_not(None))
    )
    return _order(
        (datetime.fromisoformat(at), seq, None if step is None else int(step))
        for at, seq, step in rows
    )


def _order(told: Iterable[Told]) -> list[int]:
    """Numbers of commands by step, and then by the time of the receipt.

    One that never came to a step boundary stands where its receipt was written.
    """
    keyed, reached = [], -1
    for _, seq, step in sorted(told, key=lambda each: each[:2]):
        reached = reached if step is None else max(reached, step)
        keyed.append((reached if step is None else step, seq))
    return [seq for _, seq in sorted(keyed, key=lambda pair: pair[0])]


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
