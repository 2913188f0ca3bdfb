"""The tracker's work: follow the log until there will be no more, keep checkpoints, finish."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from midcourse.contract.errors import MidcourseError
from midcourse.contract.journal_file import ARTIFACT_FILE, JournalHeader
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import LogRecord, Started, StatusChanged
from midcourse.fence import Fence
from midcourse.replay.export import export_journal, write_journal
from midcourse.tracking.follow import CLOSING, Follower
from midcourse.tracking.keepsakes import CheckpointGone, stage, staging_folder
from midcourse.tracking.status import StatusBoard
from midcourse.tracking.tail import LogTail
from midcourse.tracking.tracker import Tracker

LOOK_SECONDS = 0.5


@dataclass
class Work:
    """What one tracker process does."""

    paths: RunPaths
    board: StatusBoard
    open_tracker: Callable[[Started], Tracker]
    trainer_is_alive: Callable[[], bool]
    give_up: Callable[[], None] = lambda: None
    """Called from another thread when finishing takes too long; should end the process."""
    begin: int = 0
    """Only a closing status at or after this byte of the log ends the work: not that of an earlier
    attempt of the same run."""
    asked_to_end: threading.Event = field(default_factory=threading.Event)
    fence: Fence | None = None
    """This tracker's: looked at before anything is sent."""
    finish_seconds: float = 600.0
    """How long finishing may take: SDKs can wait for a lost server for very long."""

    def __post_init__(self) -> None:
        self._tail = LogTail(self.paths.run_log, self.board.note)
        self._follower = Follower(self.open_tracker)
        self._closed = False
        self._is_level = False

    def run(self) -> None:
        """Follow the log to its end, then finish.

        Raises:
            PlaceLost: another tracker of the run has begun; nothing more may be sent.
        """
        while self._more_may_come():
            if not self._take_new():
                self._catch_up()
                self.asked_to_end.wait(LOOK_SECONDS)
        # What a restarted trainer appends from now on is for a tracker of its own.
        end = self._tail.size()
        while self._tail.offset < end and self._take_new():
            pass
        self._catch_up()
        with self._bounded():
            self._finish()
        self.board.show(state="finished")

    def _more_may_come(self) -> bool:
        return not self._closed and not self.asked_to_end.is_set() and self.trainer_is_alive()

    def _take_new(self) -> bool:
        """Hand on what the log has gained; False where that is nothing."""
        batch = self._tail.read()
        if not batch:
            return False
        self._check_fence()
        for offset, record in batch:
            self._see_end(offset, record)
        self._follower.feed([record for _, record in batch])
        self.board.show(log_offset=self._tail.offset)
        return True

    def _check_fence(self) -> None:
        if self.fence is not None:
            self.fence.check()

    def _catch_up(self) -> None:
        self._check_fence()
        if not self._is_level and self._follower.tracker is not None:
            self._is_level = True
            self._follower.tracker.caught_up()

    def _see_end(self, offset: int, record: LogRecord) -> None:
        match record:
            case Started():
                self._closed = False
            case StatusChanged() if record.status in CLOSING and offset >= self.begin:
                self._closed = True

    def _finish(self) -> None:
        status = self._follower.close()
        tracker = self._follower.tracker
        if tracker is None:
            return  # the run never took a step
        shutil.rmtree(staging_folder(self.paths), ignore_errors=True)
        for record, aliases in self._follower.best_and_last():
            self._check_fence()
            try:
                tracker.checkpoint(record, stage(self.paths, record.name), aliases)
            except CheckpointGone as error:
                self.board.note(str(error))
        self._keep_journal(tracker)
        self._check_fence()
        tracker.finish(status)
        if self.board.status.mode == "online":
            shutil.rmtree(staging_folder(self.paths), ignore_errors=True)

    def _keep_journal(self, tracker: Tracker) -> None:
        file = staging_folder(self.paths) / ARTIFACT_FILE
        try:
            lines = export_journal(self.paths.home, self.paths.folder.name)
            write_journal(lines, file)
        except (MidcourseError, OSError) as error:
            self.board.note(f"the journal is not kept: {error}")
            return
        self._check_fence()
        tracker.journal(JournalHeader.model_validate_json(lines[0]), file)

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        timer = threading.Timer(self.finish_seconds, self.give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
