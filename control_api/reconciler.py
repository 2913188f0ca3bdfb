"""The reconciler compares what is wanted of each run with what is there, and acts.

Levels, not edges: every step asks the database and the launcher how things are now, so it does not
matter what was missed while no reconciler lived, nor at which line the last one died.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import DataError, OperationalError

from control_api import judge, levels
from control_api.attempts import begin_attempt, end_attempt, open_attempt
from control_api.bell import RECONCILER
from control_api.children import children_in_waiting, origin_of
from control_api.columns import Desired
from control_api.database import Database
from control_api.folder import read_tracking, run_spec, write_params
from control_api.ingest import ingest_file
from control_api.launchers.base import Handle, Launcher, LaunchFailed, LaunchStatus
from control_api.lease import Lease
from control_api.lifecycle import end_run, get_run, stop_before_start
from control_api.pins import pin, unpin
from control_api.problems import CheckpointGone
from control_api.settings import Settings
from control_api.tables import AttemptRow, CommandRow, RunRow
from control_api.tokens import give_trainer_token
from midcourse.contract.base import utc_now
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import ENDED, RunStatus

log = logging.getLogger(__name__)

LINGER_SECONDS = 120.0
"""How long a trainer may live on after its log said that its run has ended."""


class Reconciler:
    """One round is `reconcile`; `start` and `stop` run rounds in a thread."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings = settings
        self.home = settings.home
        self.database = database
        self.launcher = launcher
        self.now = now
        self.lease = Lease("reconciler", settings.lease_seconds)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End the rounds and give the lease back; trainers go on."""
        self._ending.set()
        self.database.bell.ring(RECONCILER)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        with self.database.writing() as session:
            self.lease.release(session)

    def _rounds(self) -> None:
        bell = self.database.bell
        while not (self._ending.is_set() or bell.silenced):
            heard = bell.count(RECONCILER)
            try:
                self.reconcile()
            except OperationalError as error:
                log.error("the database does not answer; trying again: %s", error.orig)
            except Exception:
                log.exception("a round of the reconciler failed; the next one tries again")
            bell.wait(RECONCILER, heard, self.settings.reconcile_seconds)

    def reconcile(self) -> None:
        """One round, if the lease is ours. A run that makes trouble does not hold up others."""
        steps: tuple[tuple[levels.Query, Callable[[str], None]], ...] = (
            (levels.forks_that_wait, self._resolve_fork),
            (levels.startable, self._start),
            (levels.with_trainer, self._watch),
            (levels.without_trainer, self._restart),
            (levels.pinned_in_vain, self._unpin),
            (levels.lately_ended, self._look_at_tracking),
        )
        for query, step in steps:
            with self.database.writing() as session:
                if not self.lease.claim(session, self.now()):
                    return
                run_ids = session.scalars(query(self.now())).all()
            for run_id in run_ids:
                self._attend(step, run_id)

    def _attend(self, step: Callable[[str], None], run_id: str) -> None:
        try:
            step(run_id)
        except OperationalError:
            raise
        except Exception:
            log.exception("run %s: %s failed", run_id, step.__name__)

    def _resolve_fork(self, run_id: str) -> None:
        """A fork from now: once its checkpoint's receipt is there, keep it and go on from it."""
        with self.database.writing() as session:
            child = get_run(session, run_id, for_change=True)
            if child.desired is Desired.STOPPED:
                stop_before_start(session, child)
                return
            command = session.get_one(CommandRow, (child.parent_id, child.parent_seq))
        if command.receipt is None:
            return
        if command.state is not CommandState.APPLIED:
            why = command.receipt["reason"] or command.state
            self._fail(run_id, f"The checkpoint to start from was not taken: {why}")
            return
        checkpoint = str(command.receipt["after"]["checkpoint"])
        try:
            pin(self.home, command.run_id, checkpoint, run_id)
        except CheckpointGone as error:
            self._fail(run_id, error.detail)
            return
        with self.database.writing() as session:
            child = get_run(session, run_id, for_change=True)
            child.parent_checkpoint = checkpoint
            child.pinned = True

    def _start(self, run_id: str) -> None:
        """Note the attempt, start the trainer, note its handle: in this order."""
        with self.database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.status is RunStatus.QUEUED and run.desired is Desired.STOPPED:
                stop_before_start(session, run)
                return
            if run.status in ENDED or open_attempt(session, run) is not None:
                return
            begin_attempt(session, run, self.launcher.name, self.now())
            token = give_trainer_token(session, [run.id, *children_in_waiting(session, run)])
        try:
            write_params(self.home, run)
            handle = self.launcher.submit(run_spec(self.settings, run, token))
        except (LaunchFailed, OSError, ValueError) as error:
            log.error("run %s could not be started: %s", run_id, error)
            self._note_end(run_id, run.attempt, LaunchStatus(running=False), failed=str(error))
            return
        self._note_handle(run_id, run.attempt, handle)
        log.info("run %s: attempt %d started", run_id, run.attempt)

    def _watch(self, run_id: str) -> None:
        """See whether the trainer of an open attempt still lives."""
        with self.database.reading() as session:
            run = get_run(session, run_id)
            attempt = open_attempt(session, run)
        if attempt is None:
            return
        handle = attempt.handle
        if handle is None and (handle := self.launcher.find(run_id, attempt.number)):
            self._note_handle(run_id, attempt.number, handle)
        age = (self.now() - attempt.started_at).total_seconds()
        if handle is None and age < self.settings.lease_seconds:
            return  # another reconciler may be about to start it
        status = self.launcher.status(handle) if handle else LaunchStatus(running=False)
        if handle is None or not status.running:
            self._trainer_ended(run_id, attempt.number, status)
        elif run.ended_at is not None:
            over = (self.now() - run.ended_at).total_seconds() - LINGER_SECONDS
            if over > 0:
                log.warning("run %s has ended, but its trainer has not: stopping it", run_id)
                self.launcher.stop(handle, force=over > LINGER_SECONDS)
        elif self._is_silent(run, attempt):
            ingest_file(self.database, self.home, run_id)

    def _is_silent(self, run: RunRow, attempt: AttemptRow) -> bool:
        last = max(filter(None, (run.heartbeat_at, attempt.started_at)))
        return (self.now() - last).total_seconds() > self.settings.heartbeat_seconds

    def _trainer_ended(self, run_id: str, number: int, status: LaunchStatus) -> None:
        """Take the rest of the log first: it says how the run ended, if the trainer could."""
        try:
            ingest_file(self.database, self.home, run_id)
        except (ValueError, OverflowError, DataError):
            # Trouble with the database passes, and the next round tries again. What no database
            # can hold does not, and must not keep the end of the trainer from being noted.
            log.exception("run %s: the rest of its log could not be taken", run_id)
        self._look_at_tracking(run_id)
        self._note_end(run_id, number, status)

    def _note_end(
        self, run_id: str, number: int, status: LaunchStatus, *, failed: str | None = None
    ) -> None:
        how = failed or judge.how_it_ended(status)
        with self.database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            attempt = session.get_one(AttemptRow, (run_id, number))
            if attempt.ended_at is not None:
                return  # the rest of the log told of a revert: the process is the child's now
            end_attempt(session, run, attempt, status.exit_code, how, self.now())
            session.flush()
            if run.status not in ENDED:
                # What kept a run that has trained from starting again may pass: a full disk, say.
                never_ran = failed if run.started_at is None else None
                error = never_ran or judge.why_hopeless(self.settings, session, run, status)
                if error is not None:
                    end_run(session, run, RunStatus.FAILED, error=error)
        log.info("run %s: attempt %d ended %s: %s", run_id, number, how, run.status)

    def _note_handle(self, run_id: str, number: int, handle: Handle) -> None:
        with self.database.writing() as session:
            session.get_one(AttemptRow, (run_id, number)).handle = handle

    def _restart(self, run_id: str) -> None:
        """A run that should train and has no trainer gets one, when it is time."""
        with self.database.reading() as session:
            due = judge.restart_due(self.settings, session, get_run(session, run_id))
        if due <= self.now():
            self._start(run_id)

    def _unpin(self, run_id: str) -> None:
        with self.database.reading() as session:
            run = get_run(session, run_id)
        if origin := origin_of(run):
            unpin(self.home, origin.run, origin.checkpoint, run.id)
        with self.database.writing() as session:
            get_run(session, run_id, for_change=True).pinned = False

    def _look_at_tracking(self, run_id: str) -> None:
        """The tracker may still be sending when the trainer is gone; its file tells."""
        tracking = read_tracking(self.home, run_id)
        with self.database.reading() as session:
            known = get_run(session, run_id).tracking
        if tracking is not None and tracking != known:
            with self.database.writing() as session:
                get_run(session, run_id, for_change=True).tracking = tracking

    def _fail(self, run_id: str, why: str) -> None:
        with self.database.writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.status not in ENDED:
                end_run(session, run, RunStatus.FAILED, error=why)
