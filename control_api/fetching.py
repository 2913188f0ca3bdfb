"""Fetches of checkpoints from W&B, for the forks that wait for them: a process for each source.

The SDK is slow, and may hang: neither a request nor a round of the reconciler waits for it. What
the processes do can be done again at any time, so nothing of them is kept but how often they
failed; those of a reconciler that died end with it, and the next one starts them anew.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from control_api.database import Database
from control_api.dialects import AWAY
from control_api.fetch_process import FetchProcess
from control_api.fetch_rows import (
    due_times,
    forget_fetch,
    forks_by_source,
    note_trouble,
    tries_of,
    waiting_fork,
)
from control_api.forks_from_wandb import begin_from
from control_api.lease import LeaseLost
from control_api.lifecycle import end_run
from control_api.pins import pin, unpin
from control_api.problems import CheckpointGone
from control_api.settings import Settings
from midcourse.contract.errors import InvalidInput
from midcourse.contract.imported import MAY_PASS, FetchedCheckpoint
from midcourse.contract.runs import RunStatus

MOST_AT_ONCE = 2
"""Processes at a time: each loads the SDK, and they share one line."""
_ALWAYS_THE_SAME = (DataError, InvalidInput, OverflowError, RecursionError, ValueError)
"""What no database can hold, and what is no experiment: another fetch would bring it again."""

log = logging.getLogger(__name__)

Writing = Callable[[], AbstractContextManager[Session]]


class Fetches:
    """The fetches that one reconciler sees to."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        now: Callable[[], datetime],
        writing: Writing,
    ) -> None:
        """Nothing is started yet.

        Args:
            settings: the command, and how much patience there is.
            database: where the forks are.
            now: the clock.
            writing: a transaction, but only for whoever has the reconciler's lease.
        """
        self._settings = settings
        self._database = database
        self._now = now
        self._writing = writing
        self._processes: dict[str, FetchProcess] = {}
        """By their sources."""

    @property
    def under_way(self) -> list[str]:
        """The sources that are being fetched."""
        return list(self._processes)

    def tend(self) -> None:
        """One round: start what is due, take what has come, tell of what cannot."""
        with self._database.reading() as session:
            waiting = forks_by_source(session)
            due = due_times(session)
        now = self._now()
        for source in self._processes.keys() - waiting.keys():
            self._processes.pop(source).end()  # its forks were stopped
        for source in due.keys() - waiting.keys():
            with self._writing() as session:
                forget_fetch(session, source)
        for source, forks in waiting.items():
            if source in self._processes:
                self._look_after(source, forks)
            elif len(self._processes) < MOST_AT_ONCE and due.get(source, now) <= now:
                self._start(source, forks)

    def stop(self) -> None:
        """End the processes; whoever is the reconciler next starts them anew."""
        while self._processes:
            self._processes.popitem()[1].end()

    def _start(self, source: str, forks: list[str]) -> None:
        try:
            self._processes[source] = FetchProcess(self._settings, source, self._now())
        except OSError as error:
            self._try_again(source, forks, f"the fetch of {source} could not be started: {error}")
        else:
            log.info("fetching %s from W&B for %s", source, ", ".join(forks))

    def _look_after(self, source: str, forks: list[str]) -> None:
        process = self._processes[source]
        code, most = process.exit_code(), self._settings.wandb.fetch_seconds
        if code is None and (self._now() - process.began).total_seconds() <= most:
            return
        try:
            if code is None:
                trouble = f"W&B did not hand over {source} within {most / 60:g} minutes"
                self._try_again(source, forks, trouble)
            elif code == 0:
                self._arrived(source, forks, process.output())
            elif code == MAY_PASS or code < 0:
                self._try_again(source, forks, process.complaint())
            else:
                self._give_up(source, forks, process.complaint())
        finally:
            self._processes.pop(source).end()

    def _arrived(self, source: str, forks: list[str], said: bytes) -> None:
        try:
            fetched = FetchedCheckpoint.model_validate_json(said)
        except ValidationError as error:
            self._give_up(source, forks, f"what the fetch of {source} said is no answer: {error}")
            return
        home, name = self._settings.home, fetched.checkpoint.name
        for run_id in forks:
            try:
                pin(home, fetched.run_file.id, name, run_id)
                if not self._begin(run_id, fetched):
                    unpin(home, fetched.run_file.id, name, run_id)
            except (*AWAY, LeaseLost):
                raise  # it may have begun, and then it needs its pin
            except CheckpointGone as error:  # by retention: its run trains here
                self._try_again(source, forks, error.detail.rstrip("."))
                return
            except _ALWAYS_THE_SAME as error:
                unpin(home, fetched.run_file.id, name, run_id)
                log.error("%s: %s", source, error)
                self._give_up(source, forks, f"what {source} says of its run cannot be kept")
                return
            except Exception as error:
                # It may pass: a full disk does. Without a pause it would be fetched each round.
                log.exception("%s is here, and run %s cannot go on from it", source, run_id)
                with suppress(OSError):
                    unpin(home, fetched.run_file.id, name, run_id)
                trouble = f"{source} is here, and could not be taken over: {type(error).__name__}"
                self._try_again(source, forks, trouble)
                return
        with self._writing() as session:
            forget_fetch(session, source)
        log.info("%s is here, for %s", fetched.artifact, ", ".join(forks))

    def _begin(self, run_id: str, fetched: FetchedCheckpoint) -> bool:
        """Have a fork go on from what is here; False for one that was stopped meanwhile."""
        with self._writing() as session:
            child = waiting_fork(session, run_id)
            if child is not None:
                begin_from(session, child, fetched)
        return child is not None

    def _try_again(self, source: str, forks: list[str], trouble: str) -> None:
        patience = self._settings.wandb
        with self._database.reading() as session:
            tries = tries_of(session, source) + 1
        if tries >= patience.fetch_tries:
            self._give_up(source, forks, f"{trouble}. It was tried {tries} times")
            return
        pause = patience.fetch_pause_seconds * 2.0 ** min(tries - 1, 30)
        due = self._now() + timedelta(seconds=min(pause, patience.longest_fetch_pause_seconds))
        with self._writing() as session:
            note_trouble(session, source, trouble, due)
        log.warning("%s; trying again at %s", trouble, due)

    def _give_up(self, source: str, forks: list[str], why: str) -> None:
        log.error("%s: %s", ", ".join(forks), why)
        with self._writing() as session:
            for run_id in forks:
                child = waiting_fork(session, run_id)
                if child is not None:
                    end_run(session, child, RunStatus.FAILED, error=f"{why}.")
            forget_fetch(session, source)
