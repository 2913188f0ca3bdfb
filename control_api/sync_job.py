"""The sync job: sends to W&B what runs left behind, one run at a time, beside everything else.

The reconciler gives it a look each round, which never waits. A run is sent by a process of its own,
`python -m midcourse.tracking`, which makes way for trainers, asks the server how far it came, and
can be killed at any time. What is known of earlier tries is in the database.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from control_api.database import Database
from control_api.folder import read_tracking
from control_api.lifecycle import get_run
from control_api.settings import Settings
from control_api.tables import RunRow, SyncRow
from control_api.unsent import (
    first_unsent,
    forget,
    forget_begun,
    is_sent,
    may_be_sent,
    next_due,
    why_idle,
)
from midcourse.contract.paths import RunPaths

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = timedelta(minutes=1)
"""After a try that left something; doubles with each further one."""
LONGEST_PAUSE: Final = timedelta(hours=1)
MOST_TRIES: Final = 24
"""In a row, over most of a day; then a person has to ask for more."""
MOST_TIME: Final = timedelta(hours=2)
"""Of one try, uploads and all; a process that takes longer hangs."""
LOOK_EVERY: Final = timedelta(seconds=2)
"""How often the database is asked, and told how far it is."""
SEARCH_EVERY: Final = timedelta(seconds=30)
"""How often all runs are searched for what was never tried, where there was nothing: that takes
the database a tenth of a second for ten thousand of them."""
REFRESH_EVERY: Final = timedelta(minutes=1)
"""How often the trackers' files are looked at of runs that nobody is sending."""
MOST_REFRESHED: Final = 1000
_ANOTHER_TRACKER: Final = 4
"""The exit code of a tracker that found another one at work."""


@dataclass
class _Sending:
    run_id: str
    process: "subprocess.Popen[bytes]"
    began_at: datetime


class SyncJob:
    """What one reconciler sends."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        now: Callable[[], datetime],
        writing: Callable[[], AbstractContextManager[Session]],
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: of the home, and what sends a run.
            database: where runs and earlier tries are.
            now: the clock.
            writing: a transaction, but only for whoever has the reconciler's lease.
        """
        self._settings = settings
        self._database = database
        self._now = now
        self._writing = writing
        self._sending: _Sending | None = None
        self._look_at = self._search_at = self._refresh_at = now()
        self._told_idle: str | None = None
        self._is_first_look = True

    def look(self) -> None:
        """Begin with the next run, see how far the present one is, or note how it ended."""
        sending = self._sending
        if sending is not None and (code := sending.process.poll()) is not None:
            self._sending = None
            self._note_end(sending, code)
            return
        if self._now() < self._look_at:
            return
        self._look_at = self._now() + LOOK_EVERY
        if sending is None:
            self._begin_next()
        else:
            self._watch(sending)

    def end(self) -> None:
        """End what is being sent: the next try goes on with it.

        It is not asked to: it would take its time to finish, and no round may wait for that.
        """
        if self._sending is None:
            return
        sending, self._sending = self._sending, None
        with suppress(ProcessLookupError):
            os.killpg(sending.process.pid, signal.SIGKILL)
        sending.process.wait()

    def _begin_next(self) -> None:
        if self._is_first_look:
            with self._writing() as session:
                forget_begun(session)
            self._is_first_look = False
        if self._now() >= self._refresh_at:
            self._refresh_at = self._now() + REFRESH_EVERY
            self._refresh()
        if self._is_idle():
            return
        with self._database.reading() as session:
            known_only = self._now() < self._search_at
            run_id = next_due(session, self._settings, self._now(), known_only=known_only)
        if run_id is None:
            if not known_only:
                self._search_at = self._now() + SEARCH_EVERY
            return
        self._search_at = self._now()  # there may be more
        if is_sent(self._learn(run_id)):  # by a person, since
            self._forget(run_id)
            return
        with self._writing() as session:
            _row(session, run_id, self._now()).began_at = self._now()
        try:
            self._sending = _Sending(run_id, self._start(run_id), self._now())
            log.info("run %s: sending to W&B what is left of it", run_id)
        except OSError as error:
            self._note_left(run_id, f"it could not be sent: {error}")

    def _refresh(self) -> None:
        """See what else has sent: a run's own tracker, or a person by `midcourse sync`."""
        with self._database.reading() as session:
            query = first_unsent(self._settings, self._now(), RunRow.id).limit(MOST_REFRESHED)
            run_ids = list(session.scalars(query))
        for run_id in run_ids:
            if is_sent(self._learn(run_id)):
                self._forget(run_id)

    def _is_idle(self) -> bool:
        """Whether nothing can be sent; told when it changes."""
        why = why_idle(self._settings)
        if why is not None and why != self._told_idle and self._settings.wandb.can_log_online:
            log.warning("no run is sent to W&B later: %s", why)
        self._told_idle = why
        return why is not None

    def _start(self, run_id: str) -> "subprocess.Popen[bytes]":
        paths = RunPaths(self._settings.home, run_id)
        paths.tracking.mkdir(exist_ok=True)
        # Its own bound is for a tracker beside a trainer: large uploads would never come through.
        bound = f"--finish-seconds={MOST_TIME.total_seconds():g}"
        with paths.tracking_log.open("ab") as output:
            return subprocess.Popen(
                [*self._settings.wandb.sync_command, str(paths.folder), bound],
                cwd=self._settings.trainer_folder,
                env={**self._settings.wandb.helper_environment, "WANDB_MODE": "online"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _watch(self, sending: _Sending) -> None:
        """Tell how far it is; end it where it is not to be sent any more, or hangs."""
        if not self._is_wanted(sending.run_id):
            log.info("run %s is trained again, or deleted: it is not sent now", sending.run_id)
            self.end()
            self._forget(sending.run_id)
        elif self._now() - sending.began_at > MOST_TIME:
            self.end()
            hours = MOST_TIME.total_seconds() / 3600
            self._note_left(sending.run_id, f"it was not done after {hours:g} hours")
        else:
            self._learn(sending.run_id)

    def _note_end(self, sending: _Sending, code: int) -> None:
        run_id = sending.run_id
        if not self._is_wanted(run_id):
            self._forget(run_id)
            return
        tracking = self._learn(run_id)
        if code == 0 and is_sent(tracking):
            log.info("run %s: all of it is in W&B", run_id)
            self._forget(run_id)
        elif code == _ANOTHER_TRACKER:
            self._note_left(run_id, "its own tracker is at work", counts=False)
        elif tracking is not None and tracking["error"]:
            self._note_left(run_id, str(tracking["error"]))
        elif tracking is not None and tracking["mode"] == "offline":
            self._note_left(run_id, "W&B could not be reached")
        else:
            file = RunPaths(self._settings.home, run_id).tracking_log
            self._note_left(run_id, f"its tracker ended with code {code}; see {file}")

    def _is_wanted(self, run_id: str) -> bool:
        with self._database.reading() as session:
            return may_be_sent(session, run_id)

    def _forget(self, run_id: str) -> None:
        with self._writing() as session:
            forget(session, run_id)

    def _learn(self, run_id: str) -> dict[str, object] | None:
        """Take over what the tracker's file says."""
        tracking = read_tracking(self._settings.home, run_id)
        with self._database.reading() as session:
            known = get_run(session, run_id).tracking
        if tracking is not None and tracking != known:
            with self._writing() as session:
                get_run(session, run_id, for_change=True).tracking = tracking
        return tracking

    def _note_left(self, run_id: str, why: str, *, counts: bool = True) -> None:
        """Say why something is left, and when to try again: later each time, and not for ever."""
        with self._writing() as session:
            row = _row(session, run_id, self._now())
            row.began_at, row.error = None, why
            row.tries += counts
            pause = min(FIRST_PAUSE * 2 ** min(max(row.tries - 1, 0), 30), LONGEST_PAUSE)
            row.due_at = self._now() + pause if row.tries < MOST_TRIES else None
            tries, due = row.tries, row.due_at
        then = f"trying again at {due.isoformat()}" if due else "giving up until it is asked for"
        log.warning("run %s is not all in W&B (try %d): %s; %s", run_id, tries, why, then)


def _row(session: Session, run_id: str, now: datetime) -> SyncRow:
    row = session.get(SyncRow, run_id, with_for_update=True)
    if row is None:
        row = SyncRow(run_id=run_id, tries=0, due_at=now)
        session.add(row)
    return row
