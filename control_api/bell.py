"""The bell: how one thread tells others in this process that a row they wait for has changed.

It is a hint, not a truth: whoever waits also looks at the database from time to time, since the
change may come from another process.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.5
"""How late, at the most, a change made in another process is seen."""

RECONCILER = "reconciler"


def run_key(run_id: str) -> str:
    """The bell key for anything that happens to one run."""
    return f"run:{run_id}"


class Bell:
    """Rings by key; threads wait for the next ring of theirs."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings: dict[str, int] = {}
        self._silenced = False

    @property
    def silenced(self) -> bool:
        """True once the process is ending: nobody should wait any longer."""
        return self._silenced

    def count(self, key: str) -> int:
        """How often the key has rung; read it before looking at what might change."""
        with self._condition:
            return self._rings.get(key, 0)

    def ring(self, key: str) -> None:
        """Wake those who wait for the key."""
        with self._condition:
            self._rings[key] = self._rings.get(key, 0) + 1
            self._condition.notify_all()

    def wait(self, key: str, heard: int, seconds: float) -> None:
        """Return when the key has rung since `heard` was counted, or the time is over."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._silenced or self._rings.get(key, 0) != heard, seconds
            )

    def silence(self) -> None:
        """Wake everybody for good. Signal handlers must not call this: it takes a lock."""
        with self._condition:
            self._silenced = True
            self._condition.notify_all()

    def await_value(self, key: str, look: Callable[[], T | None], seconds: float) -> T | None:
        """Look, and look again at each ring, until there is a value or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            heard = self.count(key)
            value = look()
            left = deadline - time.monotonic()
            if value is not None or left <= 0 or self._silenced:
                return value
            self.wait(key, heard, min(left, LOOK_SECONDS))
