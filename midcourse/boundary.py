"""The step boundary: the one place where anything from outside touches the run.

    redo what a crash undid → take the commands that wait → hold while paused → hand over to signals

Each command is checked, journalled, carried out, read back and receipted, in this order.
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from midcourse.branch import Branch
from midcourse.contract.base import Record, utc_now
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.commands import FORK_SEQ, Command, TakeCheckpoint
from midcourse.contract.errors import Fault, InvalidInput, MidcourseError
from midcourse.contract.journal import Intent
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import CommandDone
from midcourse.contract.runs import RunStatus
from midcourse.errors import CommandRejected, JournalUnusable
from midcourse.handlers import HANDLERS, Effect, facts
from midcourse.mailbox import Mailbox

if TYPE_CHECKING:
    from midcourse.session import Session


class Boundary:
    """Acts between steps, on the training thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._wake: SimpleQueue[None] = SimpleQueue()
        """Filled by `alert`. Not an Event: a signal handler that sets one can wait for itself."""
        self.mailbox = Mailbox(self.alert)
        self.alerted = False
        """Whether the next boundary has something to do; all that the loop looks at."""
        self._redo: deque[Intent] = deque()
        self._redo_until = -1

    def alert(self) -> None:
        """Have the next boundary look, or wake a paused one. Any thread, or a signal handler."""
        self.alerted = True
        self._wake.put(None)

    def plan_redo(self, intents: list[Intent], until: int) -> None:
        """Have intents act again at their steps.

        Args:
            intents: what acted after the checkpoint that was loaded, in order.
            until: the last step that was reported before the crash. Fresh commands wait until it
                is passed: what was reported of it must stay true.
        """
        self._redo = deque(intents)
        self._redo_until = max([until, *(intent.step for intent in intents)])
        branch = self._session.branch
        self.mailbox.start_after(branch.last_seq, branch.id)
        self.alerted = True

    @property
    def redoing(self) -> bool:
        """Whether steps are being taken again that an earlier attempt had reported."""
        return self._session.last_step_of_boundary < self._redo_until

    def act(self) -> None:
        """Do all that is to be done at this boundary; returns when the next step may begin."""
        session = self._session
        while True:
            self._forget_alerts()
            self._act_once()
            if self._redo and self._redo[0].step <= session.last_step_of_boundary:
                continue  # a revert brought the child's own changes
            if session.wants_out or session.status is not RunStatus.PAUSED:
                break
            self._wake.get()
        if self._redo or self.redoing:
            self.alerted = True

    def _forget_alerts(self) -> None:
        with suppress(Empty):
            while True:
                self._wake.get_nowait()
        self.alerted = False

    def _act_once(self) -> None:
        session = self._session
        # A revert, redone or fresh, changes the step: it is asked for anew each time.
        while (
            self._redo
            and self._redo[0].step <= (step := session.last_step_of_boundary)
            and not session.wants_out
        ):
            intent = self._redo.popleft()
            if intent.step < step:
                raise JournalUnusable(
                    f"command {intent.command.seq} of {session.id} acted at step {intent.step}; "
                    f"the checkpoint at step {step} does not know of it"
                )
            self._carry_out(intent.command, step, intent)
        if self.redoing:
            return
        while not session.wants_out and (command := self.mailbox.take()) is not None:
            self.handle(command)

    def handle(self, command: Command) -> None:
        """Carry out one fresh command here and now."""
        session, step = self._session, self._session.last_step_of_boundary
        branch = session.branch
        try:
            HANDLERS[type(command.action)].check(session, command)
        except MidcourseError as error:
            self._refuse(
                _receipt(
                    command, CommandState.REJECTED, step, reason=str(error), faults=_faults(error)
                ),
                command,
            )
            return
        except Exception as error:  # it could not even be checked; training goes on
            self._refuse(_failure(command, step, error), command)
            return
        try:
            intent = branch.journal.intend(step, command)
        except OSError as error:
            reason = f"the journal could not be written: {error.strerror or error}"
            self._refuse(_receipt(command, CommandState.FAILED, step, reason=reason), command)
            return
        self._carry_out(command, step, intent)

    def _refuse(self, receipt: Receipt, command: Command) -> None:
        branch = self._session.branch
        branch.journal.refuse(command, receipt)
        self._report(branch, command, receipt)

    def _carry_out(self, command: Command, step: int, intent: Intent) -> None:
        branch = self._session.branch
        known = branch.journal.outcomes.get(intent.position)
        self._session.position = intent.position
        try:
            effect = HANDLERS[type(command.action)].act(self._session, command)
        except Exception as error:
            if known is not None or command.seq == FORK_SEQ:
                # It acted before, so the program must have changed; going on would not be a redo.
                raise JournalUnusable(
                    f"command {command.seq} of run {branch.id} cannot be repeated at step {step}: "
                    f"{error}"
                ) from error
            self._conclude(branch, intent, _failure(command, step, error))
            return
        if isinstance(effect, Future):
            effect.add_done_callback(
                lambda done: self._conclude(branch, intent, _outcome(command, step, done))
            )
            return
        self._conclude(branch, intent, _success(command, step, effect), *effect.records)
        if effect.then is not None:
            effect.then()

    def _conclude(self, branch: Branch, intent: Intent, receipt: Receipt, *more: Record) -> None:
        if intent.position not in branch.journal.outcomes:
            branch.journal.conclude(intent, receipt)
            self._report(branch, intent.command, receipt, *more)

    def _report(self, branch: Branch, command: Command, receipt: Receipt, *more: Record) -> None:
        branch.recorder.record(
            CommandDone(
                at=utc_now(),
                command=command,
                receipt=receipt,
                total_steps=self._session.total_steps,
            ),
            *more,
        )

    def settle(self, position: int) -> None:
        """Conclude what acted before the loaded checkpoint and had no outcome when we crashed."""
        branch = self._session.branch
        for intent in branch.journal.intents[:position]:
            if intent.position in branch.journal.outcomes:
                continue
            if isinstance(intent.command.action, TakeCheckpoint):
                receipt = _checkpoint_outcome(intent, branch.store.manifests())
            else:
                reason = "it acted; a full disk and a crash took the values before and after"
                receipt = _receipt(intent.command, CommandState.APPLIED, intent.step, reason=reason)
            branch.journal.conclude(intent, receipt)

    def report_unreported(self) -> None:
        """Say again what the journal concluded but a crash may have kept from the log."""
        branch = self._session.branch
        for command, receipt in branch.journal.concluded():
            if command.seq not in branch.receipts_logged:
                self._report(branch, command, receipt)


def _checkpoint_outcome(intent: Intent, manifests: Iterable[Manifest]) -> Receipt:
    """What a crash kept a `checkpoint` command from hearing: whether it is on the disk."""
    for manifest in manifests:
        at_its_step = manifest.checkpoint.step == intent.step
        if at_its_step and manifest.journal_position >= intent.position:
            return _success(intent.command, intent.step, Effect(after=facts(manifest)))
    reason = "the process was killed before the checkpoint was written"
    return _receipt(intent.command, CommandState.FAILED, intent.step, reason=reason)


def _outcome(command: Command, step: int, done: "Future[Effect]") -> Receipt:
    error = done.exception()
    if error is not None:
        return _failure(command, step, error)
    return _success(command, step, done.result())


def _success(command: Command, step: int, effect: Effect) -> Receipt:
    return _receipt(command, CommandState.APPLIED, step, before=effect.before, after=effect.after)


def _failure(command: Command, step: int, error: BaseException) -> Receipt:
    reason = str(error) if isinstance(error, MidcourseError) else f"{type(error).__name__}: {error}"
    return _receipt(command, CommandState.FAILED, step, reason=reason, faults=_faults(error))


def _receipt(command: Command, state: CommandState, step: int, **fields: object) -> Receipt:
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


def _faults(error: BaseException) -> list[Fault]:
    return error.faults if isinstance(error, InvalidInput | CommandRejected) else []
