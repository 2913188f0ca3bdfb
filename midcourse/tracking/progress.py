"""Whether rows still arrive: an SDK can stop sending without a word."""

import time
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 120.0


class Progress:
    """Asks now and then where a server stands, and compares."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is asked yet.

        Args:
            clock: seconds that only grow.
        """
        self._clock = clock
        self._due = clock() + LOOK_SECONDS
        self._sent: int | None = None
        """What had been handed on when the server was asked last."""
        self._arrived: int | None = None

    def is_stuck(self, sent: int | None, ask: Callable[[], int]) -> bool:
        """Whether what was handed on two looks ago has not arrived, nor anything since.

        Args:
            sent: the position of the newest row that was handed on.
            ask: asks for that of the newest row at the server; may raise where it is away.
        """
        if self._clock() < self._due:
            return False
        self._due = self._clock() + LOOK_SECONDS
        try:
            arrived = ask()
        except Exception:  # an outage is no fault of the SDK's: it tries again by itself
            self._sent = self._arrived = None
            return False
        overdue = self._sent is not None and arrived < self._sent
        stuck = overdue and arrived == self._arrived
        self._sent, self._arrived = sent, arrived
        return stuck
