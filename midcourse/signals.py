"""SIGTERM and Ctrl-C: asked once, the run ends in order; asked again by Ctrl-C, at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

INSIST_SECONDS = 2.0
"""How long the loop has to come to its next boundary before it is interrupted."""


class SignalWatch:
    """Remembers that the process was asked to end, until the step boundary can see to it."""

    def __init__(self, alert: Callable[[], None]) -> None:
        """Watch, if this is the main thread; signal handlers cannot be set in others.

        Args:
            alert: called, within the signal handler, when a signal came.
        """
        self.received: signal.Signals | None = None
        self._alert = alert
        self._error: BaseException | None = None
        """What to interrupt the main thread with."""
        self._insisting = False
        self._in_time = threading.Event()
        self._old: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._insisting and number == signal.SIGINT:
            error, self._error = self._error, None
            if error is not None:
                raise error
            return
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        self._alert()

    def insist(self, error: BaseException) -> None:
        """Have the main thread interrupted by an error unless `relent` is called in time.

        For a loop that is far from its boundary, such as in an evaluation, and must be left. Any
        thread may call it. Where no signals are watched, nothing happens.
        """
        if not self._old or self._insisting:
            return
        self._error = error
        self._insisting = True
        threading.Thread(target=self._interrupt, name="midcourse-insist", daemon=True).start()

    def _interrupt(self) -> None:
        ident = threading.main_thread().ident
        if not self._in_time.wait(INSIST_SECONDS) and ident is not None:
            # Not by raising in a thread from outside: a signal ends waiting for a lock, too.
            signal.pthread_kill(ident, signal.SIGINT)

    def relent(self) -> None:
        """The loop is being left: no interruption any more."""
        self._error = None
        self._in_time.set()

    def close(self) -> None:
        """Give the signals back to whom they were taken from."""
        for number, handler in self._old.items():
            # None: whoever had it before did not set it from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old.clear()
