"""Sends one run by a process of its own, and says what came of it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from midcourse.tracking.home import HomeRun
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.status import read_status, write_status
from midcourse.tracking.supervisor import EXIT_ANOTHER
from midcourse.tracking.unsent import Backlog, is_sent, look

LOOK_SECONDS: Final = 0.5
END_SECONDS: Final = 5.0
"""How long a process may take to end in order."""
FINISH_SECONDS: Final = 6 * 3600.0
"""How long one run may take, far longer than beside a trainer: an upload that is ended begins from
zero the next time, and W&B's SDK does not tell how far it is. A person can end it; for where nobody
looks, a server that hangs must not keep the other runs for ever."""


@dataclass(frozen=True)
class Outcome:
    """What came of sending a run."""

    backlog: Backlog
    """How far it is now."""
    is_sent: bool
    why: str | None = None
    """Why something is left."""

    @classmethod
    def not_begun(cls, backlog: Backlog) -> "Outcome":
        """Of a run whose turn did not come."""
        return cls(backlog, is_sent=False, why="it was not begun")


class Sender:
    """Sends runs, one at a time."""

    def __init__(
        self,
        environment: Mapping[str, str],
        ended: threading.Event,
        command: Sequence[str] | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            environment: of the process that sends: its key, project and server.
            ended: set when it is to end.
            command: what is started, with the run's folder added; `midcourse.tracking` without it.
        """
        self._environment = dict(environment)
        self._server = TrackingSettings.read(environment).base_url
        self._ended = ended
        self._command = command or (sys.executable, "-P", "-m", "midcourse.tracking")

    def send(self, run: HomeRun, show: Callable[[Backlog], None]) -> Outcome:
        """Send what is missing of a run.

        Args:
            run: to be sent.
            show: told again and again how far it is.
        """
        try:
            process = self._start(run)
        except OSError as error:  # another user's folder, a full disk: that of this run alone
            backlog = look(run, self._server)
            return Outcome(backlog, is_sent=False, why=f"it could not be sent: {error}")
        code = None
        while code is None and not self._ended.wait(LOOK_SECONDS):
            code = process.poll()
            show(look(run, self._server))
        if code is None:
            _end(process)
            _tell_left(run)
            return Outcome(look(run, self._server), is_sent=False, why="it was interrupted")
        return _outcome(run, self._server, code)

    def _start(self, run: HomeRun) -> "subprocess.Popen[bytes]":
        """Start what sends it, and asks the server even where all of it seems to be there.

        Raises:
            OSError: the run's folder does not take the output, or no process can be started.
        """
        folder = str(run.paths.folder.resolve())
        run.paths.tracking.mkdir(parents=True, exist_ok=True)
        with run.paths.tracking_log.open("ab") as log:
            return subprocess.Popen(
                [*self._command, folder, "--again", f"--finish-seconds={FINISH_SECONDS:g}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours to hear; it would try to send all the same
            )


def _outcome(run: HomeRun, server: str, code: int) -> Outcome:
    backlog = look(run, server)
    status = backlog.status
    if code == EXIT_ANOTHER:
        return Outcome(backlog, is_sent=False, why="its own tracker is at work")
    if code == 0 and is_sent(status, backlog.log_bytes):
        return Outcome(backlog, is_sent=True)
    if status is not None and status.error:
        why = status.error
    elif status is not None and status.mode != TrackingMode.ONLINE:
        why = "W&B could not be reached"
    else:
        why = f"its tracker ended with code {code}"
    return Outcome(backlog, is_sent=False, why=f"{why}; see {run.paths.tracking_log}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a tracker, and the SDK's own process with it. It has no state that would be lost."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tell_left(run: HomeRun) -> None:
    """A tracker that was killed said last that it runs."""
    status = read_status(run.paths)
    if status is not None and status.state == "running":
        with suppress(OSError):  # a full disk: `running` with no tracker is to be sent, too
            write_status(run.paths, status.model_copy(update={"state": "behind"}))
