"""Publishes the pages of experiments: one at a time, each by a process that it starts and watches.

The reconciler calls it. A process, as publishing loads W&B's packages, which the control API does
not, and as it takes as long as W&B takes.
"""

import contextlib
import logging
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO

from pydantic import Field, ValidationError
from sqlalchemy.orm import Session

from control_api import published
from control_api.database import Database
from control_api.settings import Settings
from control_api.tables import ReportRow
from midcourse.contract.api.reports import ReportLink, ReportState
from midcourse.contract.base import Record

log = logging.getLogger(__name__)

Writing = Callable[[], AbstractContextManager[Session]]
_LOOK_EVERY = timedelta(seconds=10)
"""How often to look whether pages are out of date."""
_LONGEST_ERROR = 2000


class _Told(Record):
    """What the process prints."""

    links: list[ReportLink]
    notes: list[str] = Field(default_factory=list)


@dataclass
class _Work:
    """A process that publishes."""

    experiment: str
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    files: contextlib.ExitStack
    """Closes both."""
    begun_at: datetime


class Publisher:
    """Asked again and again by the reconciler; the database says what is to be done."""

    def __init__(self, settings: Settings, database: Database, writing: Writing) -> None:
        """Begins nothing.

        Args:
            settings: of the control API.
            database: where it stands what is to be done.
            writing: makes a transaction of the reconciler.
        """
        self._settings = settings
        self._database = database
        self._writing = writing
        self._work: _Work | None = None
        self._look_at: datetime | None = None

    def attend(self, now: datetime) -> None:
        """Take note of what has ended, and begin what is to be done."""
        if self._work is not None:
            self._watch(self._work, now)
        if self._look_at is None or now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self._refresh(now)
        if self._work is None:
            self._begin(now)

    def close(self) -> None:
        """End the process; the next reconciler publishes anew what it was at."""
        if self._work is not None:
            self._work.process.kill()
            self._forget(self._work)

    def _refresh(self, now: datetime) -> None:
        if not self._settings.wandb.has_key:
            return
        rest = timedelta(seconds=self._settings.wandb.refresh_seconds)
        with self._database.reading() as session:
            stale = published.out_of_date(session, now, rest)
        if not stale:
            return
        with self._writing() as session:
            for experiment in stale:
                published.ask(session, experiment, published.OWN_ACTOR, now)

    def _begin(self, now: datetime) -> None:
        with self._database.reading() as session:
            experiment = published.to_publish(session)
        if experiment is None:
            return
        with self._writing() as session:
            row = session.get_one(ReportRow, experiment, with_for_update=True)
            row.state, row.begun, row.begun_at = ReportState.PUBLISHING, row.asked, now
        try:
            self._work = self._start(experiment, now)
        except OSError as error:
            self._store(experiment, f"the publisher could not be started: {error}", None, now)

    def _start(self, experiment: str, now: datetime) -> _Work:
        """Output goes to files, as nobody reads a pipe meanwhile.

        It ends with its standard input, and so with us, whatever befalls us: whoever is the
        reconciler next starts another.
        """
        settings = self._settings
        with contextlib.ExitStack() as files:
            out = files.enter_context(tempfile.TemporaryFile())
            err = files.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                [
                    *settings.wandb.publisher_command,
                    experiment,
                    "--json",
                    "--end-with-input",
                    *("--home", str(settings.home)),
                ],
                cwd=settings.trainer_folder,
                env=dict(settings.wandb.helper_environment),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            return _Work(experiment, process, out, err, files.pop_all(), now)

    def _watch(self, work: _Work, now: datetime) -> None:
        most = self._settings.wandb.publisher_seconds
        error: str | None = None
        if work.process.poll() is None:
            if now - work.begun_at < timedelta(seconds=most):
                return
            work.process.kill()
            error = f"W&B took longer than {most:g} seconds"
        told = None if error else _told(work)
        if error is None and told is None:
            error = _last_words(work)
        self._store(work.experiment, error, told, now)
        self._forget(work)

    def _forget(self, work: _Work) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            work.process.wait(5)
        if work.process.stdin is not None:
            work.process.stdin.close()
        work.files.close()
        self._work = None

    def _store(self, name: str, error: str | None, told: _Told | None, now: datetime) -> None:
        with self._writing() as session:
            row = session.get_one(ReportRow, name, with_for_update=True)
            row.state = ReportState.FAILED if told is None else ReportState.PUBLISHED
            row.error, row.ended_at = error, now
            if told is not None:
                row.links = [link.model_dump() for link in told.links]
                row.notes = list(told.notes)
            if row.asked > row.begun:  # asked for since
                row.state, row.ended_at = ReportState.PENDING, None
        if error is not None:
            log.warning("the pages of %s were not published: %s", name, error)
        self._database.bell.ring(published.report_key(name))


def _told(work: _Work) -> _Told | None:
    """What the process printed; None where it failed."""
    if work.process.returncode != 0:
        return None
    work.out.seek(0)
    try:
        return _Told.model_validate_json(work.out.read())
    except ValidationError:
        return None


def _last_words(work: _Work) -> str:
    work.err.seek(0)
    lines = work.err.read().decode("utf-8", "replace").strip().splitlines()
    said = lines[-1] if lines else "it said nothing"
    if work.process.returncode == 1 and len(lines) == 1:
        return said[:_LONGEST_ERROR]
    return f"the publisher ended with {work.process.returncode}: {said}"[:_LONGEST_ERROR]
