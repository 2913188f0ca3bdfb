"""The bell: how one thread tells others in this process that a row they wait for has changed.

It is a hint, not a truth: whoever waits also looks at the database from time to time. Changes that
other processes make ring here, too, once `control_api.event_tail` has seen them.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.5
"""How often a waiter looks though nothing rang, where nobody tails the events."""

RECONCILER = "reconciler"
EVENTS = "events"


def run_key(run_id: str) -> str:
    """The bell key for anything that happens to one run."""
    return f"run:{run_id}"


class Bell:
    """Rings by key; threads wait for the next ring of theirs, and no others wake."""

    def __init__(self, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        self._rings: Counter[str] = Counter()
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._silenced = False

    @property
    def look_seconds(self) -> float:
        """How often a waiter should look though nothing rang."""
        return self._look_seconds

    @property
    def silenced(self) -> bool:
        """True once the process is ending: nobody should wait any longer."""
        return self._silenced

    def count(self, key: str) -> int:
        """How often the key has rung; read it before looking at what might change."""
        return self._rings[key]

    def ring(self, key: str) -> None:
        """Wake those who wait for the key."""
        with self._lock:
            self._rings[key] += 1
            for waiter in self._waiting.pop(key, ()):
                waiter.set()

    def wait(self, key: str, heard: int, seconds: float) -> None:
        """Return when the key has rung since `heard` was counted, or the time is over."""
        waiter = threading.Event()
        with self._lock:
            if self._silenced or self._rings[key] != heard:
                return
            self._waiting[key].add(waiter)
        if waiter.wait(seconds):
            return
        with self._lock:
            left = self._waiting.get(key, set())
            left.discard(waiter)
            if not left:
                self._waiting.pop(key, None)

    def silence(self) -> None:
        """Wake everybody for good. Signal handlers must not call this: it takes a lock."""
        with self._lock:
            self._silenced = True
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.set()
            self._waiting.clear()

    def await_value(
        self,
        key: str,
        look: Callable[[], T | None],
        seconds: float,
        look_seconds: float | None = None,
    ) -> T | None:
        """Look, and look again at each ring, until there is a value or the time is over.

        Args:
            key: what rings when there may be one.
            look: gives the value, or None.
            seconds: how long to wait.
            look_seconds: how often to look though nothing rang, where what other processes do is
                no event that would ring here.
        """
        every = self._look_seconds if look_seconds is None else look_seconds
        deadline = time.monotonic() + seconds
        while True:
            heard = self.count(key)
            value = look()
            left = deadline - time.monotonic()
            if value is not None or left <= 0 or self._silenced:
                return value
            self.wait(key, heard, min(left, every))
            if self._rings[key] == heard and time.monotonic() >= deadline:
                return None  # who asks again looks first
