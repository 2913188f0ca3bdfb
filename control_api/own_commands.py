"""Commands that a run gave itself: by its policies, or from the journal that it replays.

The control API hears of them when they have ended, from the run's log.
"""

import logging

from sqlalchemy.orm import Session

from control_api.children import new_successor
from control_api.lifecycle import SUCCEEDING, settle_command
from control_api.tables import CommandRow, RunRow
from midcourse.contract.commands import Command
from midcourse.contract.receipts import CommandState, Receipt

log = logging.getLogger(__name__)


def take_own_command(session: Session, run: RunRow, command: Command, receipt: Receipt) -> None:
    """Store a command that was not asked for here, with its receipt.

    A revert or an undo has put a run in this one's place that is not known here, either: it is
    made in the same transaction, so that the trainer may speak for it at once.
    """
    row = CommandRow(
        run_id=run.id,
        seq=receipt.seq,
        action=command.action.model_dump(mode="json"),
        reason=command.reason,
        actor=command.actor,
        accepted_at=command.accepted_at,
        at=None if command.at is None else command.at.model_dump(mode="json"),
        dry_run=command.dry_run,
    )
    session.add(row)
    session.flush()
    acted = receipt.state is CommandState.APPLIED
    if acted and row.action["kind"] in SUCCEEDING:
        _make_child(session, run, row, receipt)
    settle_command(session, row, receipt)


def _make_child(session: Session, run: RunRow, row: CommandRow, receipt: Receipt) -> None:
    child_id = row.action["child"]
    if session.get(RunRow, child_id) is not None:
        # A trainer speaks for its own run alone: it cannot make another one its child.
        log.error(
            "run %s: command %d names %s as its child, which exists", run.id, row.seq, child_id
        )
        return
    checkpoint = receipt.after.get("checkpoint")
    new_successor(session, run, row, checkpoint if isinstance(checkpoint, str) else None)
