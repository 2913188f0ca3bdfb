"""The step boundary: the one place where anything from outside touches the run.

    redo what a crash undid → pause if so many steps are done, or if it comes back from a
    suspension → scheduled commands that are due → the run's own commands → commands that wait →
    hold while paused → hand over to signals

Each command is checked, journalled, carried out, read back and receipted, in this order. Before
one that changes the training, a checkpoint is taken.
"""

from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from midcourse.agenda import is_due, is_past
from midcourse.branch import Branch
from midcourse.contract.base import Record, utc_now
from midcourse.contract.commands import CHANGING, FORK_SEQ, Command
from midcourse.contract.errors import MidcourseError
from midcourse.contract.journal import Intent
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import CommandDone
from midcourse.contract.runs import RunStatus
from midcourse.errors import CommandRejected, JournalUnusable
from midcourse.handlers import HANDLERS
from midcourse.handlers.effect import Act
from midcourse.mailbox import Mailbox
from midcourse.own_commands import OwnCommands
from midcourse.receipting import failure, outcome, receipt_of, success

if TYPE_CHECKING:
    from midcourse.engine import Engine


class Boundary:
    """Acts between steps, on the training thread."""

    def __init__(self, session: "Engine", own: OwnCommands | None) -> None:
        self._session = session
        self._own = own
        self._wake: SimpleQueue[None] = SimpleQueue()
        """Filled by `alert`. Not an Event: a signal handler that sets one can wait for itself."""
        self.mailbox = Mailbox(self.alert)
        self.alerted = False
        """Whether the next boundary has something to do; all that the loop looks at."""
        self._redo: deque[Intent] = deque()
        self._redo_until = -1
        self._held_for: int | None = None
        """The command for which the run is held, once it is where it was."""

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
        self.mailbox.begin(branch.id, branch.known_seqs)
        self.alerted = True

    def hold(self, seq: int) -> None:
        """Have the run begin paused, as soon as it is where it was: its `resume` is on its way.

        Args:
            seq: the number of that. A crash may have kept people from hearing that it has acted.
        """
        self._held_for = seq

    @property
    def redoing(self) -> bool:
        """Whether steps are being taken again that an earlier attempt had reported."""
        return self._session.last_step_of_boundary < self._redo_until

    # -- what happens at a boundary -----------------------------------------------------------

    def act(self) -> None:
        """Do all that is to be done at this boundary; returns when the next step may begin."""
        session = self._session
        while True:
            self._forget_alerts()
            self._act_once()
            if self._redo and self._redo[0].step <= session.last_step_of_boundary:
                continue  # a revert brought the child's own changes
            if session.wants_out:
                break
            if session.lease_is_over:
                session.keep_place()
            elif session.status is not RunStatus.PAUSED:
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
        self._pause_if_steps_are_done()
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
            self._redo_one(intent)
        if self.redoing:
            return
        self._pause_if_held()
        while not session.wants_out and (command := self._next_fresh()) is not None:
            self.handle(command)

    def _pause_if_steps_are_done(self) -> None:
        session = self._session
        until = session.agenda.pause_after
        if until is not None and session.last_step_of_boundary >= until:
            session.agenda.pause_after = None
            session.change_status(RunStatus.PAUSED, f"paused after step {until}, as was asked for")

    def _pause_if_held(self) -> None:
        session, seq = self._session, self._held_for
        self._held_for = None
        if seq is None or seq in session.branch.known_seqs or session.wants_out:
            return
        if session.status is not RunStatus.PAUSED:
            reason = "it was suspended, and its `resume` is on its way"
            session.change_status(RunStatus.PAUSED, reason)

    def _next_fresh(self) -> Command | None:
        session = self._session
        due = session.agenda.take_due(
            session.last_step_of_boundary, session.epoch, session.is_epoch_end
        )
        own = self._own
        return (
            due
            or (own.take(session.id, session.last_step_of_boundary) if own is not None else None)
            or session.branch.stop_wish.take(session.id)
            or self.mailbox.take()
        )

    def handle(self, command: Command) -> None:
        """Deal with one fresh command here and now: carry it out, refuse it, or let it wait."""
        if command.dry_run:
            self._try_out(command)
        elif command.at is not None and not self._is_due(command):
            self._schedule(command)
        elif (refused := self._check(command)) is not None:
            self.refuse(command, refused)
        else:
            self._begin(command)

    def _is_due(self, command: Command) -> bool:
        session = self._session
        step, epoch = session.last_step_of_boundary, session.epoch
        due = is_due(command, step, epoch, session.is_epoch_end)
        return due and not is_past(command, step, epoch)

    def _check(self, command: Command) -> Receipt | None:
        """The receipt that refuses a command; None if it is acceptable."""
        session, step = self._session, self._session.last_step_of_boundary
        try:
            HANDLERS[type(command.action)].check(session, command)
            return None
        except MidcourseError as error:
            return receipt_of(command, CommandState.REJECTED, step, error=error)
        except Exception as error:  # it could not even be checked; training goes on
            return failure(command, step, error)

    def _try_out(self, command: Command) -> None:
        session, step = self._session, self._session.last_step_of_boundary
        refused = self._check_time(command) or self._check(command)
        if refused is None:
            try:
                effect = HANDLERS[type(command.action)].preview(session, command)
                refused = success(command, step, effect, state=CommandState.CHECKED)
            except Exception as error:
                refused = failure(command, step, error)
        self.refuse(command, refused)

    def _schedule(self, command: Command) -> None:
        """Let a command wait for its step, unless that is past."""
        refused = self._check_time(command)
        if refused is None:
            try:
                self._session.branch.journal.schedule(command)
            except OSError as error:
                refused = _not_journalled(command, self._session.last_step_of_boundary, error)
        if refused is not None:
            self.refuse(command, refused)
        else:
            self._session.agenda.add(command)

    def _check_time(self, command: Command) -> Receipt | None:
        session, step = self._session, self._session.last_step_of_boundary
        if command.at is None:
            return None
        reason = None
        if is_past(command, step, session.epoch):
            done = "no step" if session.last_step is None else f"step {session.last_step}"
            reason = f"{command.at} is past: the run has completed {done} of epoch {session.epoch}"
        elif command.at.epoch is not None and not session.counts_epochs:
            reason = "this program counts no epochs (it does not use run.batches); give a step"
        if reason is None:
            return None
        return receipt_of(command, CommandState.REJECTED, step, error=CommandRejected(reason))

    def _begin(self, command: Command) -> None:
        session, step = self._session, self._session.last_step_of_boundary
        undo_to, trouble = None, None
        if isinstance(command.action, CHANGING):
            undo_to, trouble = session.take_checkpoint_to_undo()
        try:
            intent = session.branch.journal.intend(step, command, undo_to)
        except OSError as error:
            self.refuse(command, _not_journalled(command, step, error))
            return
        self._carry_out(intent, trouble=trouble)

    def _redo_one(self, intent: Intent) -> None:
        if isinstance(intent.command.action, CHANGING) and intent.command.seq != FORK_SEQ:
            self._session.take_checkpoint_to_undo(intent.undo_to)
        self._carry_out(intent, HANDLERS[type(intent.command.action)].redo)

    def _carry_out(
        self, intent: Intent, act: Act | None = None, trouble: str | None = None
    ) -> None:
        branch, command, step = self._session.branch, intent.command, intent.step
        known = branch.journal.outcomes.get(intent.position)
        self._session.position = intent.position
        try:
            effect = (act or HANDLERS[type(command.action)].act)(self._session, command)
        except Exception as error:
            if known is not None or command.seq == FORK_SEQ:
                # It acted before, so the program must have changed; going on would not be a redo.
                raise JournalUnusable(
                    f"command {command.seq} of run {branch.id} cannot be repeated at step {step}: "
                    f"{error}"
                ) from error
            self._conclude(branch, intent, failure(command, step, error))
            return
        if isinstance(effect, Future):
            effect.add_done_callback(
                lambda done: self._conclude(branch, intent, outcome(command, step, done))
            )
            return
        receipt = success(command, step, effect, undo_to=intent.undo_to, no_undo=trouble)
        self._conclude(branch, intent, receipt, *effect.records)
        if effect.then is not None:
            effect.then()

    # -- receipts -----------------------------------------------------------------------------

    def refuse(self, command: Command, receipt: Receipt) -> None:
        """End a command that did not act."""
        branch = self._session.branch
        branch.journal.refuse(command, receipt)
        self._report(branch, command, receipt)

    def withdraw_waiting(self, state: CommandState, reason: str, step: int) -> None:
        """End all scheduled commands that have not acted, and those that nobody looked at yet."""
        waiting = self._session.agenda.clear()
        while (command := self.mailbox.take()) is not None:
            waiting.append(command)
        for command in waiting:
            self.withdraw(command, state, reason, step)

    def withdraw(
        self, command: Command, state: CommandState, reason: str, step: int | None
    ) -> None:
        """End a command that waited for its step."""
        self.refuse(command, receipt_of(command, state, step, reason=reason))

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

    def report_unreported(self) -> None:
        """Say again what the journal concluded but a crash may have kept from the log."""
        branch = self._session.branch
        for command, receipt in branch.journal.concluded():
            if command.seq not in branch.receipts_logged:
                self._report(branch, command, receipt)


def _not_journalled(command: Command, step: int, error: OSError) -> Receipt:
    reason = f"the journal could not be written: {error.strerror or error}"
    return receipt_of(command, CommandState.FAILED, step, reason=reason)
