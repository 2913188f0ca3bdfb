"""SIGTERM and Ctrl-C: asked once, the run ends in order; asked again by Ctrl-C, at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class SignalWatch:
    """Remembers that the process was asked to end, until the step boundary can see to it."""

    def __init__(self, alert: Callable[[], None]) -> None:
        """Watch, if this is the main thread; signal handlers cannot be set in others.

        Args:
            alert: called, within the signal handler, when a signal came.
        """
        self.received: signal.Signals | None = None
        self._alert = alert
        self._old: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        self._alert()

    def close(self) -> None:
        """Give the signals back to whom they were taken from."""
        for number, handler in self._old.items():
            # None: whoever had it before did not set it from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old.clear()
