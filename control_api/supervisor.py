"""The supervisor: starts the processes of the control API, and starts again what dies.

It does nothing else, so that nothing makes it die: no threads, no database, no requests. Whatever
it adopts it also buries, so it may be process 1 of a container. Its children end with it.
"""

import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from control_api.exits import Exits
from control_api.launchers.process import is_trainer, start_time
from control_api.offspring import adopt_orphans, be_called, end_with_parent, offspring

END_SECONDS = 9.0
"""How long children may take to end in order."""
FIRST_PAUSE = 0.2
"""Before a child that died early is started again; doubles with each further time."""
LONGEST_PAUSE = 10.0
_LOOK_SECONDS = 0.5
"""How often to look whether trainers have been adopted since."""
HEALTHY_SECONDS = 10.0
"""A child that lived this long has died by accident: it is started again at once."""

Work = Callable[[], int]
"""What a child does; returns its exit code."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orphans:
    """Trainers, which outlive the child that starts them, where they end with the supervisor."""

    starter: str
    """The name of the child."""
    patience: float
    """Seconds that they have once they are asked to end; who needs more is left behind."""


@dataclass
class _Child:
    name: str
    work: Work
    pid: int | None = None
    started_at: float = 0.0
    early_deaths: int = 0
    due_at: float = 0.0


class Supervisor:
    """Children by name, each a fork of this process: all that they need is loaded already."""

    def __init__(
        self,
        works: Mapping[str, Work],
        exits: Exits,
        *,
        orphans: Orphans | None = None,
        when_ending: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is started yet.

        Args:
            works: what each child does.
            exits: where to note how adopted processes ended.
            orphans: what else ends with it; None: what has been adopted stays behind.
            when_ending: called once it was asked to end, before the children are.
            clock: seconds that only grow.
        """
        self._children = [_Child(name, work) for name, work in works.items()]
        self._exits = exits
        self._orphans = orphans
        self._when_ending = when_ending
        self._clock = clock
        self._asked_to_end = False

    def run(self) -> None:
        """Keep the children alive until SIGTERM, SIGINT or SIGHUP; then end them all."""
        adopt_orphans()
        ear, mouth = socket.socketpair()
        with ear, mouth:
            ear.setblocking(False)
            mouth.setblocking(False)
            signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, self._ask_to_end)
            while not self._asked_to_end:
                self._start_due()
                self._sleep(ear, self._seconds_to_next_start())
                self._bury()
            self._end(ear)
            signal.set_wakeup_fd(-1)

    def _ask_to_end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked_to_end = True

    def _start_due(self) -> None:
        now = self._clock()
        for child in self._children:
            if child.pid is None and child.due_at <= now and not self._asked_to_end:
                child.pid, child.started_at = _fork(child.name, child.work), now

    def _seconds_to_next_start(self) -> float | None:
        due = [child.due_at for child in self._children if child.pid is None]
        return max(0.0, min(due) - self._clock()) if due else None

    @staticmethod
    def _sleep(ear: socket.socket, seconds: float | None) -> None:
        """Until a signal comes, or the time is over."""
        select.select([ear], [], [], seconds)
        with suppress(BlockingIOError):
            while ear.recv(4096):
                pass

    def _bury(self) -> None:
        """Take note of every process that has ended, be it a child or adopted."""
        while dead := _somebody_dead([child.pid for child in self._living()]):
            pid, code = dead
            child = next((child for child in self._children if child.pid == pid), None)
            if child is not None:
                self._plan_restart(child, code)
            elif started := start_time(pid, though_ended=True):
                # Before the zombie is gone: whoever looks for it finds the one or the other.
                self._exits.note(pid, started, code)
            _forget(pid)

    def _plan_restart(self, child: _Child, code: int) -> None:
        pid, child.pid = child.pid, None
        if self._asked_to_end:
            return
        now = self._clock()
        early = now - child.started_at < HEALTHY_SECONDS
        child.early_deaths = child.early_deaths + 1 if early else 0
        pause = FIRST_PAUSE * 2.0 ** (child.early_deaths - 1) if early else 0.0
        child.due_at = now + min(pause, LONGEST_PAUSE)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        log.error(
            "the %s process (%d) ended %s; starting it again in %.1f s",
            child.name,
            pid,
            how,
            child.due_at - now,
        )

    def _end(self, ear: socket.socket) -> None:
        self._when_ending()
        if self._orphans is not None:
            # In this order: nothing more is started, and what ends has somebody to tell of it.
            self._end_children(ear, [self._orphans.starter])
            self._end_orphans(ear, self._orphans.patience)
        self._end_children(ear, [child.name for child in self._children])

    def _end_children(self, ear: socket.socket, names: Sequence[str]) -> None:
        self._signal_all(names, signal.SIGTERM)
        deadline = self._clock() + END_SECONDS
        while self._living(names) and self._clock() < deadline:
            self._sleep(ear, deadline - self._clock())
            self._bury()
        for name in self._signal_all(names, signal.SIGKILL):
            log.error("the %s process did not end in time and was killed", name)
        for child in self._living(names):
            assert child.pid is not None
            _forget(child.pid)
            child.pid = None

    def _end_orphans(self, ear: socket.socket, patience: float) -> None:
        """Ask adopted trainers to end; wait until they have, and note how.

        What they have started beside themselves is not waited for: it goes on at the next start.
        """
        asked: set[int] = set()
        deadline = self._clock() + patience
        while (left := set(filter(is_trainer, offspring()))) and self._clock() < deadline:
            for pid in left - asked:
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            self._sleep(ear, min(_LOOK_SECONDS, deadline - self._clock()))
            self._bury()
        if left:
            log.error("trainers %s have not ended in %.0f s: leaving them", sorted(left), patience)

    def _living(self, names: Sequence[str] | None = None) -> list[_Child]:
        return [
            child
            for child in self._children
            if child.pid is not None and (names is None or child.name in names)
        ]

    def _signal_all(self, names: Sequence[str], number: signal.Signals) -> list[str]:
        for child in self._living(names):
            assert child.pid is not None
            os.kill(child.pid, number)
        return [child.name for child in self._living(names)]


def _fork(name: str, work: Work) -> int:
    """Have a child do some work, and end with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal: the supervisor passes it on
            signal.signal(number, signal.SIG_IGN)
        end_with_parent(parent)
        be_called(f"midcourse-{name}")
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("the %s process failed", name)
    finally:
        # Not `sys.exit`, which would wait for threads that may wait for ever.
        logging.shutdown()
        os._exit(code)


def _somebody_dead(children: list[int | None]) -> tuple[int, int] | None:
    """A process that has ended and is still to be buried: its id and exit code."""
    if not hasattr(os, "waitid"):  # macOS, where nobody is adopted
        return _some_child_dead(children)
    with suppress(ChildProcessError):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            ended = found.si_code == os.CLD_EXITED
            return found.si_pid, found.si_status if ended else -found.si_status
    return None


def _some_child_dead(children: list[int | None]) -> tuple[int, int] | None:
    for pid in filter(None, children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return pid, os.waitstatus_to_exitcode(status)
    return None


def _forget(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
