"""Starts a run's tracker process from the training process, and sees that it lives."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import midcourse
from midcourse.contract.environment import API_TOKEN, RUN_TOKEN
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import TrackingStatus
from midcourse.fence import Fence
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.status import read_status, write_status

EXIT_FAILED: Final = 1
EXIT_BEHIND: Final = 3
"""Not everything could be sent in time; the log has it."""
EXIT_ANOTHER: Final = 4
"""Another tracker of the run is at work."""

MOST_RESTARTS: Final = 5
HEALTHY_SECONDS: Final = 600.0
"""A tracker that lived this long has earned all its restarts again."""
_LOOK_SECONDS: Final = 0.05


class TrackerProcess:
    """The tracker of one run, as a child of this process. Nothing here ever hurts the training.

    Not thread-safe, but for `ensure_alive` and `finish`, which exclude each other.
    """

    def __init__(
        self,
        paths: RunPaths,
        fence: Fence | None = None,
        *,
        command: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is started yet.

        Args:
            paths: Of the run.
            fence: This trainer's; a tracker ends when a later attempt has the run.
            command: What to run instead of this Python's `midcourse.tracking`; for tests.
            clock: Seconds that only grow.
        """
        self.paths = paths
        self._fence = fence
        self._command = command
        self._clock = clock
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0
        self._started_at = 0.0
        self._restarts = 0
        self._given_up = False

    def start(self) -> None:
        """Start the tracker. Call when the run log is open for writing and nothing is written yet.

        Where tracking is disabled, only `tracking/status.json` is written.
        """
        with suppress(FileNotFoundError):
            self._begin = self.paths.run_log.stat().st_size
        mode = TrackingSettings.read().mode
        if mode is TrackingMode.DISABLED:
            self._given_up = True
            self._tell(TrackingStatus(mode=mode.value, state="finished"))
            return
        self._tell(TrackingStatus(mode=mode.value))  # what an earlier attempt's said is over
        self._spawn()

    def ensure_alive(self) -> None:
        """Restart a tracker that died, after a pause that doubles each time, up to a limit."""
        if self._lock.acquire(blocking=False):
            try:
                self._revive(patient=True)
            finally:
                self._lock.release()

    def finish(self, timeout: float) -> TrackingStatus:
        """Wait for the tracker to send everything. Call after the last status record is written.

        Args:
            timeout: Seconds to wait at most; a tracker that needs longer goes on by itself, and
                one that dies with this process leaves the rest in the run log.

        Returns:
            The tracker's last status; `behind` where something is still to be sent.
        """
        deadline = self._clock() + timeout
        with self._lock:
            while self._process is not None and self._clock() < deadline:
                if self._process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(_LOOK_SECONDS)
                elif not self._revive(patient=False):
                    break
            self._given_up = True
            return self._last_word()

    def abandon(self) -> None:
        """Leave a tracker alone: it ends by itself, and what it says is no longer ours to tell."""
        with self._lock:
            self._given_up = True
            if self._process is not None:
                self._wait_for_its_end(self._process)

    @staticmethod
    def _wait_for_its_end(process: "subprocess.Popen[bytes]") -> None:
        """Someone must take note of it."""
        threading.Thread(target=process.wait, name="tracker's end", daemon=True).start()

    def _revive(self, *, patient: bool) -> bool:
        """Start a dead tracker again where that is allowed by now."""
        if self._given_up or self._process is None or self._process.poll() is None:
            return False
        if self._process.returncode in (0, EXIT_BEHIND):
            return False
        age = self._clock() - self._started_at
        if age >= HEALTHY_SECONDS:
            self._restarts = 0
        if self._restarts >= MOST_RESTARTS:
            self._given_up = True
            self._tell(self._failed(f"the tracker died {self._restarts + 1} times"))
            return False
        if patient and age < 2.0**self._restarts:
            return False
        self._restarts += 1
        self._spawn()
        return True

    def _spawn(self) -> None:
        self._started_at = self._clock()
        try:
            self.paths.tracking.mkdir(parents=True, exist_ok=True)
            with self.paths.tracking_log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*(self._command or _COMMAND), *self._arguments()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=tracker_environment(),
                    # Ctrl-C in a terminal is for the trainer; the tracker ends after it.
                    start_new_session=True,
                )
        except OSError as error:
            self._given_up = True
            self._tell(self._failed(f"the tracker could not be started: {error}"))

    def _arguments(self) -> list[str]:
        return [
            str(self.paths.folder.resolve()),
            f"--parent={os.getpid()}",
            f"--begin={self._begin}",
            f"--program={sys.argv[0] or 'midcourse'}",
            *([f"--attempt={self._fence.name}"] if self._fence else []),
        ]

    def _last_word(self) -> TrackingStatus:
        status = read_status(self.paths) or TrackingStatus(mode="offline", state="behind")
        if self._process is None:
            return status
        if self._process.poll() is None:
            self._wait_for_its_end(self._process)
            return status.model_copy(update={"state": "behind"})
        if self._process.returncode != 0 and status.state == "running":
            status = self._failed(f"the tracker ended with code {self._process.returncode}")
            self._tell(status)
        return status

    def _failed(self, reason: str) -> TrackingStatus:
        last = read_status(self.paths) or TrackingStatus(mode="offline")
        error = "; ".join(
            part for part in (last.error, f"{reason}; see {self.paths.tracking_log}") if part
        )
        return last.model_copy(update={"state": "failed", "error": error})

    def _tell(self, status: TrackingStatus) -> None:
        with suppress(OSError):  # a full disk; the run log's writer tells of it
            write_status(self.paths, status)


# `-P`: what lies in the working directory is not ours to import.
_COMMAND: Final = (sys.executable, "-P", "-m", "midcourse.tracking")


def tracker_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment without the control API's tokens, which are not the tracker's business.

    A midcourse that is no installed package must be found by the tracker, too.

    Args:
        environ: what it is made from; this process's own without it.
    """
    given = os.environ if environ is None else environ
    ours = {name: value for name, value in given.items() if name not in (RUN_TOKEN, API_TOKEN)}
    assert midcourse.__file__ is not None
    root = Path(midcourse.__file__).resolve().parent.parent
    if root.name in ("site-packages", "dist-packages"):
        return ours
    others = ours.get("PYTHONPATH")
    return {**ours, "PYTHONPATH": os.pathsep.join([str(root), *([others] if others else [])])}
