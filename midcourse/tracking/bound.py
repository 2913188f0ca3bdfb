"""A bound on how long something may take: SDKs can wait for a lost server for very long."""

import threading
from collections.abc import Callable


class Bound:
    """Ends what takes too long, from another thread. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        """Nothing is bound yet.

        Args:
            seconds: how long may pass after `set`.
        """
        self._seconds = seconds
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def set(self, end: Callable[[], None]) -> None:
        """Have `end` called when the time is over; where it is running already, it runs on."""
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(self._seconds, end)
                self._timer.daemon = True
                self._timer.start()

    def lift(self) -> None:
        """It was in time."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
