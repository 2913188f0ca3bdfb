"""Keeps one run's folder of event files level with its log."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from midcourse.contract.base import Record
from midcourse.contract.records import Started
from midcourse.tracking.follow import CLOSING, Follower
from midcourse.tracking.home import HomeRun, is_held
from midcourse.tracking.tail import LogTail
from midcourse.tracking.tensorboard.event_file import EventFile
from midcourse.tracking.tensorboard.tracker import EventFileTracker

FORMAT: Final = 1
"""Of what is written. Another one is written anew."""
MARK: Final = "midcourse.json"


class Mark(Record):
    """In each run's folder: that it is ours, and whether it is whole."""

    format: int = FORMAT
    run: str
    log_bytes: int | None = None
    """The size of the log when all of it had been written; None while more is to come."""


def read_mark(folder: Path) -> Mark | None:
    """What a folder of ours says of itself; None for one that is not ours."""
    try:
        return Mark.model_validate_json((folder / MARK).read_bytes())
    except (OSError, ValidationError):
        return None


class RunWriter:
    """Writes one run, from the first byte of its log on, and goes on while the log grows.

    What an earlier process wrote is taken as it is where it is whole, else written anew: a log
    that is read again makes the same events, and what was half written is never added to.
    """

    def __init__(self, run: HomeRun, target: Path, note: Callable[[str], None]) -> None:
        """Nothing is read yet.

        Args:
            run: to be written.
            target: its folder of event files.
            note: told what cannot be shown.
        """
        self.run = run
        self.target = target
        self._note = note
        self._tail = LogTail(run.paths.run_log, note)
        self._follower = Follower(self._open)
        self._events: EventFile | None = None
        self._told_end = False

    def look(self, trainer_is_there: Callable[[Path], bool] = is_held) -> None:
        """Write what the log has gained.

        Args:
            trainer_is_there: whether the run's lock is held. Without a trainer, the last row is
                complete, and is written.

        Raises:
            OSError: the log cannot be read, or the events cannot be written.
        """
        if self._events is None and self._is_whole():
            return
        gone = not trainer_is_there(self.run.paths.lock)  # before the log's end is looked for
        while records := self._tail.read():
            if self._told_end:
                self._told_end = False
                self._mark(None)
            self._follower.feed([record for _, record in records])
        tracker = self._follower.tracker
        if tracker is None or self._told_end:
            return
        tracker.caught_up()
        if gone or self._follower.status in CLOSING:
            tracker.finish(self._follower.close())
            self._told_end = True
            self._mark(self._tail.offset)

    def close(self) -> None:
        """Let go of the event file."""
        if self._events is not None:
            self._events.close()

    def _is_whole(self) -> bool:
        mark = read_mark(self.target)
        whole = Mark(run=self.run.id, log_bytes=self._tail.size())
        return mark == whole

    def _open(self, started: Started) -> EventFileTracker:
        self.target.mkdir(parents=True, exist_ok=True)
        self._mark(None)
        self._events = EventFile(self.target)
        return EventFileTracker(self._events, self.run.paths.folder, started, self._note)

    def _mark(self, log_bytes: int | None) -> None:
        """Whole or not at all: a mark that says too much would hide what is missing."""
        fresh = self.target / f"{MARK}.new"
        fresh.write_text(Mark(run=self.run.id, log_bytes=log_bytes).to_json() + "\n")
        fresh.replace(self.target / MARK)
