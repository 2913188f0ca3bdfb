"""Delivery: commands on their way to the trainer, by its long-poll."""

import random

from sqlalchemy import select

from control_api.bell import run_key
from control_api.database import Database
from control_api.place import PLACE_AND_COMMANDS, check_place_of
from control_api.problems import UnknownRun
from control_api.tables import CommandRow
from control_api.wishes import PENDING
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command
from midcourse.contract.receipts import CommandState

_SPREAD = 0.7
"""The least part of its time that a long-poll waits: else those that began together, as all do when
a server comes back, would end together, again and again."""


def await_commands(
    database: Database, run_id: str, attempt: int, after: int, wait: float
) -> list[Command]:
    """Commands numbered above `after`, as soon as there are any; they count as delivered.

    Args:
        database: where they wait.
        run_id: whose they are.
        attempt: which start of the run asks.
        after: the highest number that it knows.
        wait: seconds after which none is an answer, too; at times sooner (`_SPREAD`).

    Raises:
        UnknownRun: there is no such run.
        LostPlace: the attempt is not the run's present one.
    """

    def look() -> bool | None:
        found = database.fetch(PLACE_AND_COMMANDS, {"run_id": run_id, "after": after})
        if not found:
            raise UnknownRun(f"There is no run {run_id!r}.")
        check_place_of(run_id, attempt, found[0])
        return True if found[0].seq is not None else None

    wait *= random.uniform(_SPREAD, 1.0)
    if database.bell.await_value(run_key(run_id), look, wait):
        return [_command(row) for row in _deliver(database, run_id, after)]
    return []


def _deliver(database: Database, run_id: str, after: int) -> list[CommandRow]:
    """Note the delivery of those that still wait; one that has ended meanwhile is left out."""
    waiting = (
        select(CommandRow)
        .where(
            CommandRow.run_id == run_id,
            CommandRow.seq > after,
            CommandRow.state.in_(PENDING),
        )
        .order_by(CommandRow.seq)
        .with_for_update()
    )
    with database.writing() as session:
        rows = list(session.scalars(waiting))
        now = utc_now()
        for row in rows:
            if row.state is CommandState.ACCEPTED:
                row.state = CommandState.DELIVERED
                row.delivered_at = now
    return rows


def _command(row: CommandRow) -> Command:
    return Command.model_validate(
        {
            "run": row.run_id,
            "seq": row.seq,
            "actor": row.actor,
            "accepted_at": row.accepted_at,
            "action": row.action,
            "reason": row.reason,
            "at": row.at,
            "dry_run": row.dry_run,
        }
    )
