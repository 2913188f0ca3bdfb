"""One reading of a run's log, from its first byte, into one tracker."""

import shutil
from collections.abc import Callable

from midcourse.contract.errors import MidcourseError
from midcourse.contract.journal_file import ARTIFACT_FILE, JournalHeader
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import LogRecord, Started
from midcourse.contract.runs import RunLabels
from midcourse.replay.export import export_journal, write_journal
from midcourse.runlog import READ_BYTES
from midcourse.tracking.follow import Follower
from midcourse.tracking.keepsakes import staging_folder
from midcourse.tracking.labels import read_labels
from midcourse.tracking.missing import Expected, Missing
from midcourse.tracking.publisher import Publisher
from midcourse.tracking.shelf import Shelf
from midcourse.tracking.status import StatusBoard
from midcourse.tracking.tail import LogTail
from midcourse.tracking.tracker import Tracker

Batch = list[tuple[int, LogRecord]]
"""Records, each with the byte of the log where it begins."""


class Reading:
    """Follows the log; sees to checkpoints, the journal and labels beside it.

    The same log makes the same rows: a second reading repeats what a first one could not bring
    to its end.
    """

    def __init__(
        self,
        paths: RunPaths,
        board: StatusBoard,
        open_tracker: Callable[[Started], Tracker],
        check_fence: Callable[[], None],
    ) -> None:
        self.paths = paths
        self.board = board
        # What an earlier tracker staged is of no use any more; this one's stays until it is done.
        shutil.rmtree(staging_folder(paths), ignore_errors=True)
        self.tail = LogTail(paths.run_log, board.note)
        self._check_fence = check_fence
        self._follower = Follower(open_tracker, Shelf(self._is_pinned))
        self._publisher: Publisher | None = None
        self._is_level = False
        self._kept: list[str] = []
        self._labels = RunLabels()

    @property
    def tracker(self) -> Tracker | None:
        """Where the run is shown; None before its first attempt has begun."""
        return self._follower.tracker

    @property
    def last_position(self) -> int | None:
        """Where the newest row stands that was shown."""
        return self._follower.last_position

    def take_new(
        self, look: Callable[[Batch], None] = lambda _: None, end: int | None = None
    ) -> bool:
        """Hand on what the log has gained; False where that is nothing.

        Args:
            look: sees it first.
            end: the byte of the log up to which it is read; None: as far as it goes.
        """
        most = READ_BYTES if end is None else min(READ_BYTES, end - self.tail.offset)
        batch = self.tail.read(most)
        if not batch:
            return False
        look(batch)
        self._check_fence()
        self._follower.feed([record for _, record in batch])
        self.board.show(log_offset=self.tail.offset)
        return True

    def catch_up(self) -> None:
        """Nothing new is there: see to what is shown beside the rows."""
        self._check_fence()
        tracker = self.tracker
        if tracker is None:
            return
        if not self._is_level:
            self._is_level = True
            tracker.caught_up()
        self._show_labels(tracker)
        if tracker.publishes_live:
            self._publish(tracker).look()

    def finish(self, *, goes_on: bool = False) -> None:
        """Keep what stays of the run, and have everything sent.

        Args:
            goes_on: a later attempt of the run is at work.
        """
        status = self._follower.close(goes_on=goes_on)
        tracker = self.tracker
        if tracker is None:
            return  # the run never took a step
        self._kept = self._publish(tracker).finish(self._check_fence)
        self._keep_journal(tracker)
        self._check_fence()
        tracker.finish(status)

    def missing(self) -> Missing:
        """What did not arrive, once it has finished.

        Raises:
            Exception: it cannot be known.
        """
        follower, tracker = self._follower, self.tracker
        if tracker is None:
            return Missing()
        return tracker.missing(Expected(follower.row_count, follower.last_position, self._kept))

    def _publish(self, tracker: Tracker) -> Publisher:
        if self._publisher is None:
            self._publisher = Publisher(self.paths, self._follower.shelf, tracker, self.board.note)
        return self._publisher

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

    def _show_labels(self, tracker: Tracker) -> None:
        labels = read_labels(self.paths)
        if labels != self._labels:
            self._labels = labels
            tracker.label(labels)

    def _is_pinned(self, name: str) -> bool:
        try:
            return any(self.paths.pins(name).iterdir())
        except OSError:
            return False
