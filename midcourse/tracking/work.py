"""The tracker's work: follow the log until there will be no more, finish, see that it arrived."""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from midcourse.contract.errors import first_line
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Started, StatusChanged
from midcourse.fence import Fence
from midcourse.tracking.bound import Bound
from midcourse.tracking.follow import CLOSING
from midcourse.tracking.keepsakes import staging_folder
from midcourse.tracking.missing import Missing
from midcourse.tracking.reading import Batch, Reading
from midcourse.tracking.status import StatusBoard
from midcourse.tracking.tracker import Tracker

LOOK_SECONDS = 0.5
FIRST_RETRY_SECONDS = 30.0
"""After which a tracker that had to go offline looks whether the server is there; doubles."""
LONGEST_RETRY_SECONDS = 600.0
WATCH_SECONDS = 1.0
"""Between two looks whether the run has ended."""
MOST_READINGS = 3
"""How often the log is read for what the server has not got at the end."""


@dataclass
class Work:
    """What one tracker process does."""

    paths: RunPaths
    board: StatusBoard
    open_tracker: Callable[[Started], Tracker]
    trainer_is_alive: Callable[[], bool]
    give_up: Callable[[], None] = lambda: None
    """Called from another thread when finishing takes too long; should end the process."""
    start_over: Callable[[], None] = lambda: None
    """The same while the run goes on: should end the process so that it is started again."""
    begin: int = 0
    """Only a closing status at or after this byte of the log ends the work: not that of an earlier
    attempt of the same run."""
    asked_to_end: threading.Event = field(default_factory=threading.Event)
    fence: Fence | None = None
    """This tracker's: looked at before anything is sent."""
    finish_seconds: float = 600.0
    """How long finishing may take: SDKs can wait for a lost server for very long."""
    could_be_online: Callable[[], bool] = lambda: False
    """Whether a tracker that went offline would find its server by now. May take seconds."""
    wants_online: bool = False
    """Whether being offline means that everything is still to be sent."""
    run_is_live: Callable[[], bool] = lambda: False
    """Whether a trainer has the run: the one beside this tracker, or one that came after it."""
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._closed = False
        self._done = threading.Event()
        self._bound = Bound(self.finish_seconds)
        self._reading = self._read_again()
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._retry_at = self.clock() + self._retry_seconds

    def run(self) -> bool:
        """Follow the log to its end, then finish.

        Returns:
            Whether everything arrived, as far as it was to.

        Raises:
            PlaceLost: another tracker of the run has begun; nothing more may be sent.
        """
        was_live = self.run_is_live()
        threading.Thread(
            target=self._watch, args=(was_live,), name="midcourse-watch", daemon=True
        ).start()
        try:
            while self._more_may_come():
                if not self._reading.take_new(self._see_end):
                    self._reading.catch_up()
                    self._begin_anew_if_stuck()
                    self.asked_to_end.wait(LOOK_SECONDS)
            self._closed = True
            self._bound.set(self.give_up)
            # What a restarted trainer appends from now on is for a tracker of its own.
            return self._say_how_it_ended(self._finish(self._reading.tail.size()))
        finally:
            self._done.set()
            self._bound.lift()

    def _watch(self, was_live: bool) -> None:
        """Bound what waits for a lost server when the run has ended meanwhile.

        That it has ended stands in the log, behind what waits.
        """
        while not self._done.wait(WATCH_SECONDS):
            is_live = self.run_is_live()
            if was_live and not is_live:
                self._bound.set(self.give_up)
            was_live = was_live or is_live

    # -- following ----------------------------------------------------------------------------

    def _more_may_come(self) -> bool:
        return not self._is_over() and self.trainer_is_alive()

    def _is_over(self) -> bool:
        return self._closed or self.asked_to_end.is_set()

    def _see_end(self, batch: Batch) -> None:
        for offset, record in batch:
            match record:
                case Started():
                    self._closed = False
                case StatusChanged() if record.status in CLOSING and offset >= self.begin:
                    self._closed = True
        if self._closed:  # to hand it on may take long by itself, where the server is away
            self._bound.set(self.give_up)
        else:
            self._bound.lift()

    def _read_again(self) -> Reading:
        return Reading(self.paths, self.board, self.open_tracker, self._check_fence)

    def _check_fence(self) -> None:
        if self.fence is not None:
            self.fence.check()

    def _begin_anew_if_stuck(self) -> None:
        """Have a fresh tracker where this one brings nothing to the server any more."""
        tracker = self._reading.tracker
        if tracker is None:
            return
        if tracker.is_stuck(self._reading.last_position):
            self.board.note("W&B took nothing any more; beginning anew")
        elif self.wants_online and not tracker.publishes_live and self.clock() >= self._retry_at:
            self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
            self._retry_at = self.clock() + self._retry_seconds
            if not self.could_be_online():
                return
        else:
            return
        self._bound.set(self.give_up if self._is_over() else self.start_over)
        tracker.leave()
        self._bound.lift()
        self._reading = self._read_again()

    # -- the end ------------------------------------------------------------------------------

    def _finish(self, end: int) -> Missing | None:
        """Send everything, again if need be.

        Returns:
            What is missing all the same; None where nobody can say.
        """
        missing: Missing | None = None
        for number in range(MOST_READINGS):
            if number:
                self._reading = self._read_again()
            while self._reading.tail.offset < end and self._reading.take_new(end=end):
                pass
            self._reading.catch_up()
            self._reading.finish(goes_on=self.run_is_live())
            try:
                missing = self._reading.missing()
            except Exception as error:  # an outage: SDKs raise many kinds
                reason = first_line(error)
                self.board.note(f"whether W&B has everything is not known: {reason}")
                return None
            if not missing.is_in_the_log or (missing.offline and not self._can_try_online()):
                return missing
            if not missing.offline:
                self.board.note(f"W&B had not got everything: {missing}; it was sent again")
        return missing

    def _say_how_it_ended(self, missing: Missing | None) -> bool:
        is_offline_as_asked = missing is not None and missing.offline and not self.wants_online
        has_arrived = missing is not None and not missing
        is_done = is_offline_as_asked or has_arrived
        if has_arrived and self.board.status.mode == "online":
            shutil.rmtree(staging_folder(self.paths), ignore_errors=True)
        left = None if missing is None or is_offline_as_asked else missing.rows
        self.board.show(state="finished" if is_done else "behind", left=left)
        return is_done

    def _can_try_online(self) -> bool:
        return self.wants_online and self.could_be_online()
