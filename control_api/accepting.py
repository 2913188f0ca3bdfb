"""Commands on their way in: checked, numbered, stored; and withdrawn, while they wait."""

from sqlalchemy.orm import Session

from control_api.asking import Made, Requester, record
from control_api.columns import Desired
from control_api.lifecycle import settle_command
from control_api.problems import CommandNotWithdrawable, RunNotReady, UnknownCommand
from control_api.tables import CommandRow, RunRow
from control_api.wishes import is_wish, wish_anew
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.base import MAX_INTEGER, utc_now
from midcourse.contract.commands import Action, At, Cancel, SetParameters, Suspend
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.receipts import FINAL_STATES, CommandState, Receipt
from midcourse.contract.runs import ENDED, RunStatus

PLAIN = CommandQuery()
"""At the next boundary, in earnest, for no reason given."""


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
    session: Session, run: RunRow, action: Action, by: Requester, how: CommandQuery = PLAIN
) -> tuple[CommandRow, Made]:
    """Number a command and store it; it reaches the trainer by its long-poll.

    Raises:
        RunNotReady: the run has ended, or is to be suspended and is.
        InvalidInput: it is to act at a step or an epoch that the run has passed.
    """
    require_not_ended(run)
    if isinstance(action, Suspend) and how.at is None and not how.dry_run:
        _require_not_suspended(run)
    if how.at is not None:
        _require_to_come(run, how.at)
    run.last_seq += 1
    row = CommandRow(
        run_id=run.id,
        seq=run.last_seq,
        action=action.model_dump(mode="json"),
        reason=how.reason,
        actor=by.actor,
        accepted_at=utc_now(),
        at=None if how.at is None else how.at.model_dump(mode="json"),
        dry_run=how.dry_run,
        state=CommandState.ACCEPTED,
    )
    session.add(row)
    if isinstance(action, SetParameters) and not how.dry_run:
        run.revision += 1
    if is_wish(row):
        wish_anew(session, run)
    made = record(session, by, action.kind, run, row.seq)
    return row, made


def _require_not_suspended(run: RunRow) -> None:
    if run.status is RunStatus.SUSPENDED and run.desired is Desired.SUSPENDED:
        raise RunNotReady(
            f"Run {run.id} is suspended already. POST …/resume puts it back into the queue, and "
            "POST …/stop ends it."
        )


def _require_to_come(run: RunRow, at: At) -> None:
    """Refuse what is past as far as is known here; the trainer, which knows better, looks again."""
    wanted, present = (at.epoch, run.epoch) if at.step is None else (at.step, run.step)
    assert wanted is not None
    if present is not None and wanted < present:
        where = f"in epoch {present}" if at.step is None else f"at step {present}"
        message = f"{at} is past: run {run.id} is {where}"
        raise InvalidInput([Fault(path="at", message=message, allowed={"ge": present})])


def find_command(
    session: Session, run: RunRow, seq: int, *, for_change: bool = False
) -> CommandRow:
    """A command of a run by its number; `for_change` keeps it from being delivered meanwhile.

    Raises:
        UnknownCommand: there is none.
    """
    key, lock = (run.id, seq), for_change or None
    known = abs(seq) <= MAX_INTEGER
    row = session.get(CommandRow, key, with_for_update=lock) if known else None
    if row is None:
        raise UnknownCommand(
            f"Run {run.id} has no command {seq}; its last is number {run.last_seq}."
        )
    return row


def withdraw_command(
    session: Session, run: RunRow, seq: int, by: Requester, reason: str | None
) -> Made:
    """Withdraw a command that waits: here, or where the trainer has it on its schedule.

    Returns:
        The command, which is cancelled; or another one, which asks the trainer to cancel it.

    Raises:
        UnknownCommand: the run has none of that number.
        CommandNotWithdrawable: it has ended, or is about to act.
    """
    row = find_command(session, run, seq, for_change=True)
    if row.state in FINAL_STATES:
        raise CommandNotWithdrawable(
            f"Command {seq} of run {run.id} is {row.state}: there is nothing to withdraw.",
            receipt=row.receipt,
        )
    if row.state is CommandState.ACCEPTED:
        words = f"withdrawn by {by.actor}{f': {reason}' if reason else ''}"
        receipt = Receipt(
            run=run.id, seq=seq, state=CommandState.CANCELLED, reason=words, at=utc_now()
        )
        settle_command(session, row, receipt)
        return record(session, by, "withdraw", run, seq)
    if row.at is None or row.dry_run:
        raise CommandNotWithdrawable(
            f"Command {seq} of run {run.id} is with the trainer and acts at its next step "
            "boundary; from there, only scheduled commands can be withdrawn.",
            receipt=None,
        )
    return accept_command(session, run, Cancel(seq=seq), by, CommandQuery(reason=reason))[1]
