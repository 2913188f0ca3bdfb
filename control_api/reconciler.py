"""The reconciler compares what is wanted of each run with what is there, and acts.

Levels, not edges: every step asks the database and the launcher how things are now, so it does not
matter what was missed while no reconciler lived, nor at which line the last one died.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from control_api import judge, levels, logs
from control_api.attempts import open_attempt, release_slot
from control_api.bell import RECONCILER
from control_api.children import origin_of
from control_api.chores import Chores
from control_api.database import Database
from control_api.deleting import clear_deleted
from control_api.fetching import Fetches
from control_api.launchers.base import Launcher, LauncherUnreachable
from control_api.lease import LEASE, Lease, LeaseLost, trouble_of
from control_api.lifecycle import do_as_wanted, end_run, get_run
from control_api.pins import pin, unpin
from control_api.problems import CheckpointGone
from control_api.publisher import Publisher
from control_api.queue import free_slots, queued_runs
from control_api.settings import Settings
from control_api.sync_job import SyncJob
from control_api.tables import CommandRow
from control_api.trainers import Trainers
from midcourse.contract.base import utc_now
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import ENDED, RunStatus

log = logging.getLogger(__name__)

_REST = 4
"""After a round, for so many times its length: a fifth of a core is the most that they take."""
_LONGEST_REST_SECONDS = 0.2


class Reconciler:
    """One round is `reconcile`; `start` and `stop` run rounds in a thread."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        now: Callable[[], datetime] = utc_now,
        holder: str | None = None,
    ) -> None:
        self.settings = settings
        self.home = settings.home
        self.database = database
        self.launcher = launcher
        self.now = now
        self.lease = Lease(LEASE, settings.lease_seconds, holder)
        self.trainers = Trainers(settings, database, launcher, now, self._writing)
        self.fetches = Fetches(settings, database, now, self._writing)
        self.chores = Chores(timedelta(days=settings.event_days))
        self.sync = SyncJob(settings, database, now, self._writing)
        self.publisher = Publisher(settings, database, self._writing)
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
            if self._thread.is_alive():
                return  # its round is not over: the lease keeps others away until it runs out
        self.sync.end()
        self.fetches.stop()
        self.publisher.close()
        with self.database.writing() as session:
            self.lease.release(session)

    def _rounds(self) -> None:
        bell = self.database.bell
        while not (self._ending.is_set() or bell.silenced):
            heard, began = bell.count(RECONCILER), time.monotonic()
            try:
                self.reconcile()
            except LeaseLost:
                log.warning("another reconciler has the lease now; waiting for it")
            except (OperationalError, InterfaceError) as error:
                log.error("the database does not answer; trying again: %s", error.orig)
            except Exception:
                log.exception("a round of the reconciler failed; the next one tries again")
            # Where the bell never rests, rounds must not follow each other without end.
            self._ending.wait(min(_REST * (time.monotonic() - began), _LONGEST_REST_SECONDS))
            bell.wait(RECONCILER, heard, self.settings.reconcile_seconds)

    def reconcile(self) -> None:
        """One round, if the lease is ours. A run that makes trouble does not hold up others."""
        trainers = self.trainers
        steps: tuple[tuple[levels.Level, Callable[[str], None]], ...] = (
            (levels.forks_that_wait, self._resolve_fork),
            (trainers.to_watch, trainers.watch),
            (levels.not_as_wanted, self._settle),
            (levels.with_idle_slot, self._free_slot),
            (levels.without_trainer, self._restart),
            (levels.pinned_in_vain, self._unpin),
            (levels.lately_ended, trainers.look_at_tracking),
            (levels.deleted_in_part, self._clear),
        )
        with self.database.writing() as session:
            is_ours = self.lease.claim(session, self.now())
        if not is_ours:
            # Whoever has it fetches what is waited for, and publishes what was asked for.
            self.fetches.stop()
            self.publisher.close()
            return
        knows_trainers, can_start = self._look()
        for level, step in steps:
            if (step == trainers.watch and not knows_trainers) or (
                step == self._restart and not can_start
            ):
                continue
            try:
                with self.database.reading() as session:
                    run_ids = level(session, self.now())
            except LauncherUnreachable as error:  # since we looked
                log.warning("trainers cannot be looked at: %s", error)
                continue
            for run_id in run_ids:
                self._attend(step, run_id)
        self._fetch()
        if can_start:
            self._start_queued()
        self.publisher.attend(self.now())
        if self.chores.are_due(self.now()):
            with self._writing() as session:
                self.chores.do(session, self.now())
            if knows_trainers:
                trainers.clear_remains()
        self.sync.look()

    def _look(self) -> tuple[bool, bool]:
        """See whether it is known how trainers are, and whether others can start; tell if not.

        Where nobody can say how they are, they are left so.
        """
        try:
            self.trainers.look()
            is_known, trouble = True, self.launcher.lacks()
        except LauncherUnreachable as error:
            is_known, trouble = False, str(error)
        with self.database.reading() as session:
            told = trouble_of(session, LEASE)
        if trouble != told:
            if trouble is None:
                log.info("the %s launcher can start trainers again", self.launcher.name)
            else:
                log.error("%s: no trainer is started until that is mended", trouble)
            with self._writing() as session:
                self.lease.tell(session, trouble)
        return is_known, trouble is None

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """A transaction of the reconciler: it renews the lease, and fails without it.

        Raises:
            LeaseLost: this process was away for so long that another one has taken over.
        """
        with self.database.writing() as session:
            if not self.lease.claim(session, self.now()):
                raise LeaseLost
            yield session

    def _attend(self, step: Callable[[str], None], run_id: str) -> None:
        with logs.about(run=run_id):
            try:
                step(run_id)
            except (OperationalError, InterfaceError, LeaseLost):
                raise
            except LauncherUnreachable as error:
                log.warning("run %s: %s", run_id, error)
            except Exception:
                log.exception("run %s: %s failed", run_id, step.__name__)

    def _fetch(self) -> None:
        try:
            self.fetches.tend()
        except (OperationalError, InterfaceError, LeaseLost):
            raise
        except Exception:
            log.exception("checkpoints from W&B could not be seen to")

    # -- what is done to a run ----------------------------------------------------------------

    def _start_queued(self) -> None:
        """Give free slots to those whose turn it is; the next one, where one makes trouble."""
        with self.database.reading() as session:
            free = free_slots(session, self.settings.slots)
            waiting = queued_runs(session) if free else []
        for run_id in waiting:
            with self.database.reading() as session:
                if not free_slots(session, self.settings.slots):
                    return
            self._attend(self.trainers.start, run_id)

    def _restart(self, run_id: str) -> None:
        """A run that should train and has no trainer gets one, when it is time."""
        with self.database.reading() as session:
            due = judge.restart_due(self.settings, session, get_run(session, run_id))
        if due <= self.now():
            self.trainers.start(run_id)

    def _settle(self, run_id: str) -> None:
        """Do what is wanted of a run that no trainer has to be asked for, if that is still so."""
        with self._writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.status not in ENDED and open_attempt(session, run) is None:
                do_as_wanted(session, run)

    def _free_slot(self, run_id: str) -> None:
        with self._writing() as session:
            release_slot(session, get_run(session, run_id, for_change=True))

    def _resolve_fork(self, run_id: str) -> None:
        """A fork from now: once its checkpoint's receipt is there, keep it and go on from it."""
        with self.database.reading() as session:
            child = get_run(session, run_id)
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
        with self._writing() as session:
            child = get_run(session, run_id, for_change=True)
            child.parent_checkpoint = checkpoint
            child.pinned = True

    def _unpin(self, run_id: str) -> None:
        with self.database.reading() as session:
            run = get_run(session, run_id)
        if origin := origin_of(run):
            unpin(self.home, origin.run, origin.checkpoint, run.id)
        with self._writing() as session:
            get_run(session, run_id, for_change=True).pinned = False

    def _clear(self, run_id: str) -> None:
        clear_deleted(self.database, self.home, run_id, self.now())

    def _fail(self, run_id: str, why: str) -> None:
        with self._writing() as session:
            run = get_run(session, run_id, for_change=True)
            if run.status not in ENDED:
                end_run(session, run, RunStatus.FAILED, error=why)
