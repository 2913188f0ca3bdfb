"""Receipts from what became of a command."""

from concurrent.futures import Future
from typing import Any

from midcourse.branch import Branch
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command, Stop, Suspend, TakeCheckpoint
from midcourse.contract.errors import InvalidInput, MidcourseError
from midcourse.contract.journal import Intent
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.runs import RunStatus
from midcourse.errors import CommandRejected
from midcourse.handlers.effect import Effect, facts
from midcourse.handlers.holding import KILLED_ON_ITS_WAY


def success(
    command: Command,
    step: int,
    effect: Effect,
    *,
    state: CommandState = CommandState.APPLIED,
    undo_to: str | None = None,
    no_undo: str | None = None,
) -> Receipt:
    """The receipt of a command that acted, or of a dry run that could.

    Args:
        command: which.
        step: the boundary.
        effect: what was read back.
        state: `checked` for a dry run.
        undo_to: the checkpoint that was taken before it.
        no_undo: why there is none, if one should have been.
    """
    details = dict(effect.details)
    if undo_to is not None:
        details["undo_to"] = undo_to
    if no_undo is not None:
        details["undo"] = f"not possible: {no_undo}"
    return receipt_of(
        command, state, step, before=effect.before, after=effect.after, details=details
    )


def failure(command: Command, step: int, error: BaseException) -> Receipt:
    """The receipt of a command that could not be carried out; nothing changed."""
    return receipt_of(command, CommandState.FAILED, step, error=error)


def outcome(command: Command, step: int, done: "Future[Effect]") -> Receipt:
    """The receipt of a command whose effect came later."""
    error = done.exception()
    return success(command, step, done.result()) if error is None else failure(command, step, error)


def receipt_of(
    command: Command,
    state: CommandState,
    step: int | None,
    *,
    error: BaseException | None = None,
    **fields: Any,
) -> Receipt:
    """A receipt; an error gives it reason and faults."""
    if error is not None:
        fields["reason"] = _in_words(error)
        fields["faults"] = error.faults if isinstance(error, InvalidInput | CommandRejected) else []
    return Receipt.model_validate(
        {
            "run": command.run,
            "seq": command.seq,
            "state": state,
            "step": step,
            "at": utc_now(),
            **fields,
        }
    )


def _in_words(error: BaseException) -> str:
    return str(error) if isinstance(error, MidcourseError) else f"{type(error).__name__}: {error}"


def settle(branch: Branch, position: int) -> None:
    """Conclude what acted before the loaded checkpoint and had no outcome when we crashed."""
    for intent in branch.journal.intents[:position]:
        if intent.position in branch.journal.outcomes:
            continue
        if isinstance(intent.command.action, TakeCheckpoint | Stop):
            receipt = _checkpoint_outcome(branch, intent)
        elif isinstance(intent.command.action, Suspend):
            # Its checkpoint is on the disk, but the process did not leave by itself.
            receipt = receipt_of(
                intent.command, CommandState.FAILED, intent.step, reason=KILLED_ON_ITS_WAY
            )
        else:
            reason = "it acted; a full disk and a crash took the values before and after"
            receipt = receipt_of(intent.command, CommandState.APPLIED, intent.step, reason=reason)
        branch.journal.conclude(intent, receipt)


def _checkpoint_outcome(branch: Branch, intent: Intent) -> Receipt:
    """What a crash kept a command from hearing: whether its checkpoint is on the disk."""
    stopped = isinstance(intent.command.action, Stop)
    end = {"status": RunStatus.STOPPED.value} if stopped else {}
    for manifest in branch.store.manifests():
        at_its_step = manifest.checkpoint.step == intent.step
        if at_its_step and manifest.journal_position >= intent.position:
            return success(intent.command, intent.step, Effect(after={**end, **facts(manifest)}))
    reason = "the process was killed before the checkpoint was written"
    return receipt_of(intent.command, CommandState.FAILED, intent.step, reason=reason)
