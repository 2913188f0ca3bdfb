"""Trainers: started, watched, told again if they do not hear, and noted when they are gone."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from control_api import judge
from control_api.attempts import begin_attempt, end_attempt, heirs, incarnations, open_attempt
from control_api.children import children_in_waiting
from control_api.columns import Desired
from control_api.database import Database
from control_api.folder import labels_of, read_tracking, run_spec, write_params
from control_api.ingest import ingest_file
from control_api.insisting import Insistence, insistence
from control_api.labels import show_labels
from control_api.launchers.base import (
    Handle,
    Launcher,
    LauncherUnreachable,
    LaunchFailed,
    LaunchStatus,
    Remains,
)
from control_api.lifecycle import do_as_wanted, end_run, get_run
from control_api.queue import free_slots
from control_api.settings import Settings
from control_api.tables import AttemptRow, RunRow
from control_api.tokens import give_trainer_token
from control_api.unsent import forget as forget_unsent
from control_api.wishes import pending_wishes
from midcourse.contract.runs import ENDED, RunStatus

log = logging.getLogger(__name__)

LINGER_SECONDS = 120.0
"""How long a trainer may live on after its log said that its run has ended, or is suspended."""

Writing = Callable[[], AbstractContextManager[Session]]


class Trainers:
    """The trainers of all runs, as far as one reconciler is concerned with them."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        now: Callable[[], datetime],
        writing: Writing,
    ) -> None:
        """Care for trainers.

        Args:
            settings: how much patience there is.
            database: where attempts are noted.
            launcher: what starts trainers.
            now: the clock.
            writing: a transaction, but only for whoever has the reconciler's lease.
        """
        self.settings = settings
        self.home = settings.home
        self.database = database
        self.launcher = launcher
        self.now = now
        self.writing = writing
        self._begun_here: set[tuple[str, int]] = set()
        """Attempts that nobody else can be about to start."""
        self._lingering: dict[tuple[str, int], datetime] = {}
        """Since when trainers are seen whose run says that it is suspended."""
        self._remains: list[Remains] = []
        """What the launcher had when it last looked."""

    # -- starting -----------------------------------------------------------------------------

    def start(self, run_id: str) -> None:
        """Note the attempt, start the trainer, note its handle: in this order.

        Nothing happens where the run is not to train, has a trainer, or finds no free slot.
        """
        with self.writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.desired is not Desired.TRAINED or run.status not in _CAN_START:
                return
            if open_attempt(session, run) is not None:
                return
            slot = run.slot or next(iter(free_slots(session, self.settings.slots)), None)
            if slot is None:
                return
            begin_attempt(session, run, self.launcher.name, self.now(), slot)
            forget_unsent(session, run.id)  # what was tried in vain, and given up, was another end
            token = give_trainer_token(session, [run.id, *children_in_waiting(session, run)])
            wishes = pending_wishes(session, run)
            held = next((row.seq for row in wishes if row.action["kind"] == "resume"), None)
        self._begun_here.add((run_id, run.attempt))
        try:
            write_params(self.home, run)
            show_labels(self.database, self.home, run.id, labels_of(run))
            handle = self.launcher.submit(run_spec(self.settings, run, token, held=held))
        except (LaunchFailed, OSError, ValueError) as error:
            log.error("run %s could not be started: %s", run_id, error)
            may_pass = isinstance(error, OSError) or getattr(error, "may_pass", False)
            # What kept a run that has trained from starting again may pass, too.
            hopeless = run.started_at is None and not may_pass
            self._note_end(run_id, run.attempt, _GONE, failed=str(error), hopeless=hopeless)
            return
        self._note_handle(run_id, run.attempt, handle)
        log.info("run %s: attempt %d started in %s", run_id, run.attempt, slot)

    def _note_handle(self, run_id: str, number: int, handle: Handle) -> None:
        """Keep how a trainer is known again; without the lease, too, as it is there all the same.

        If its attempt is over, somebody else took it for dead, and may have started its successor.
        """
        with self.database.writing() as session:
            attempt = session.get_one(AttemptRow, (run_id, number))
            rows = [attempt, *heirs(session, attempt)]
            for row in rows:
                row.handle = handle
            is_over = all(row.ended_at is not None for row in rows)
        if is_over:
            log.warning("run %s: attempt %d was given up: killing its trainer", run_id, number)
            self.launcher.stop(handle, force=True)

    # -- watching -----------------------------------------------------------------------------

    def look(self) -> None:
        """Have the launcher take stock, once a round.

        Raises:
            LauncherUnreachable: nothing can be known of trainers now.
        """
        self._remains = self.launcher.look()

    def clear_remains(self) -> None:
        """Let go of what is left of trainers whose attempt is over, and of none but our own.

        One that still runs is killed: its run has another trainer by now, or has ended.
        """
        with self.database.reading() as session:
            ours = set(session.scalars(select(RunRow.id))) if self._remains else set()
            open_attempts = session.execute(
                select(AttemptRow.run_id, AttemptRow.handle, AttemptRow.launcher).where(
                    AttemptRow.ended_at.is_(None)
                )
            ).all()
        others = {each.launcher for each in open_attempts} - {self.launcher.name}
        for name in sorted(others):
            # A handle means nothing to another launcher: whether they live, nobody here can say.
            runs = sorted(each.run_id for each in open_attempts if each.launcher == name)
            log.warning("trainers of the launcher %s are not looked after here: %s", name, runs)
        in_use = [each.handle for each in open_attempts]
        unknown = {each.run_id for each in open_attempts if each.handle is None}
        for each in self._remains:
            if each.run_id in ours - unknown and each.handle not in in_use:
                log.info("run %s: what an earlier trainer left is removed", each.run_id)
                with suppress(LauncherUnreachable):
                    self.launcher.forget(each.handle)

    def to_watch(self, session: Session, now: datetime) -> list[str]:
        """The runs with a trainer that `watch` must look at, the oldest first.

        Not those whose trainer lives, is heard of and has been told nothing: with a thousand
        trainers these are nearly all, and a query for each, each round, would be what costs.
        """
        attempts = session.execute(
            select(
                RunRow.id,
                RunRow.status,
                RunRow.desired,
                RunRow.heartbeat_at,
                AttemptRow.started_at,
                AttemptRow.handle,
            )
            .join(AttemptRow, AttemptRow.run_id == RunRow.id)
            .where(
                AttemptRow.ended_at.is_(None),
                AttemptRow.launcher == self.launcher.name,
                RunRow.deleted_at.is_(None),
            )
            .order_by(RunRow.created_at)
        )
        return [
            each.id
            for each in attempts
            if each.desired is not Desired.TRAINED
            or each.status in _SAID_ITS_LAST_WORD
            or self._is_silent(each.heartbeat_at, each.started_at, now)
            or each.handle is None
            or not self.launcher.status(each.handle).running
        ]

    def watch(self, run_id: str) -> None:
        """See whether the trainer of an open attempt still lives, and does as it was told."""
        with self.database.reading() as session:
            run = get_run(session, run_id)
            attempt = open_attempt(session, run)
            if attempt is None:
                return
            names = incarnations(session, run)
            told = insistence(self.settings, session, run, attempt, self.now())
        handle = attempt.handle
        if handle is None and (handle := self._find(names, attempt.number)):
            self._note_handle(run_id, attempt.number, handle)
        if handle is None and not self._is_given_up(attempt):
            return  # another reconciler may be about to start it
        status = self.launcher.status(handle) if handle else _GONE
        if handle is None or not status.running:
            is_noted = self._trainer_ended(run_id, attempt.number, status)
            if handle is not None and is_noted:
                self.launcher.forget(handle)
        elif run.status in _SAID_ITS_LAST_WORD:
            self._hurry(run, attempt, handle)
        else:
            if self._is_silent(run.heartbeat_at, attempt.started_at, self.now()):
                ingest_file(self.database, self.home, run_id)
            if told is not None:
                self._insist(run_id, handle, told)

    def _find(self, names: list[str], number: int) -> Handle | None:
        """A trainer is known by the run that it was started for, which a revert may have left."""
        for name in names:
            if handle := self.launcher.find(name, number):
                return handle
        return None

    def _is_given_up(self, attempt: AttemptRow) -> bool:
        age = (self.now() - attempt.started_at).total_seconds()
        is_ours = (attempt.run_id, attempt.number) in self._begun_here
        patience = max(self.settings.lease_seconds, self.launcher.start_seconds)
        return is_ours or age >= patience

    def _is_silent(self, heartbeat: datetime | None, started: datetime, now: datetime) -> bool:
        last = max(filter(None, (heartbeat, started)))
        return (now - last).total_seconds() > self.settings.heartbeat_seconds

    def _hurry(self, run: RunRow, attempt: AttemptRow, handle: Handle) -> None:
        """Have a trainer end that has said its last word."""
        now = self.now()
        since = run.ended_at or self._lingering.setdefault((run.id, attempt.number), now)
        over = (now - since).total_seconds() - LINGER_SECONDS
        if over > 0:
            log.warning("run %s is %s, but its trainer lives: stopping it", run.id, run.status)
            self.launcher.stop(handle, force=over > LINGER_SECONDS)

    def _insist(self, run_id: str, handle: Handle, told: Insistence) -> None:
        """End a trainer that does not do as it was told, and say so."""
        with self.writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.notice != told.words:
                run.notice = told.words
                log.warning("run %s: %s", run_id, told.words)
        self.launcher.stop(handle, force=told.force)

    def look_at_tracking(self, run_id: str) -> None:
        """The tracker may still be sending when the trainer is gone; its file tells."""
        tracking = read_tracking(self.home, run_id)
        with self.database.reading() as session:
            known = get_run(session, run_id).tracking
        if tracking is not None and tracking != known:
            with self.writing() as session:
                get_run(session, run_id, for_change=True).tracking = tracking

    # -- ends ---------------------------------------------------------------------------------

    def _trainer_ended(self, run_id: str, number: int, status: LaunchStatus) -> bool:
        """Take the rest of the log first: it says how the run ended, if the trainer could.

        Returns:
            False where that told of a revert: the child's attempt is the one that ended.
        """
        try:
            ingest_file(self.database, self.home, run_id)
        except (ValueError, OverflowError, DataError):
            # Trouble with the database passes, and the next round tries again. What no database
            # can hold does not, and must not keep the end of the trainer from being noted.
            log.exception("run %s: the rest of its log could not be taken", run_id)
        self.look_at_tracking(run_id)
        return self._note_end(run_id, number, status)

    def _note_end(
        self,
        run_id: str,
        number: int,
        status: LaunchStatus,
        *,
        failed: str | None = None,
        hopeless: bool = False,
    ) -> bool:
        how = failed or judge.how_it_ended(status)
        with self.writing() as session:
            run = get_run(session, run_id, for_change=True)
            attempt = session.get_one(AttemptRow, (run_id, number))
            if attempt.ended_at is not None:
                return False  # the rest of the log told of a revert: the process is the child's
            end_attempt(session, run, attempt, status.exit_code, how, self.now())
            session.flush()
            if run.status is RunStatus.INTERRUPTED:
                self._go_on(session, run, status, how, hopeless=hopeless)
        self._begun_here.discard((run_id, number))
        self._lingering.pop((run_id, number), None)
        log.info("run %s: attempt %d ended %s: %s", run_id, number, how, run.status)
        return True

    def _go_on(
        self, session: Session, run: RunRow, status: LaunchStatus, how: str, *, hopeless: bool
    ) -> None:
        """What becomes of a run whose trainer left it in the middle: first, what people want."""
        if run.desired is not Desired.TRAINED:
            do_as_wanted(session, run)
        else:
            error = (
                how if hopeless else judge.why_hopeless(self.settings, session, run, status, how)
            )
            if error is not None:
                end_run(session, run, RunStatus.FAILED, error=error)


_CAN_START = frozenset(
    {
        RunStatus.QUEUED,
        RunStatus.STARTING,
        RunStatus.RUNNING,
        RunStatus.PAUSED,
        RunStatus.INTERRUPTED,
    }
)
_SAID_ITS_LAST_WORD = ENDED | {RunStatus.SUSPENDED}
_GONE = LaunchStatus(running=False)
