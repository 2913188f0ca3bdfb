"""A trainer's lease: how long it may train on without an answer of the control API.

Where the launcher sees from the trainer's own machine whether it lives, there is none: nobody else
is given its run while it does. Elsewhere a trainer that is cut off may be believed dead. It has a
lease then, renewed by each answer; when that has run out it takes a checkpoint and waits.
"""

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 0.25


class Lease:
    """Told of each answer, it says when there was none for too long, and when there is again."""

    def __init__(
        self, changed: Callable[[bool], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """No lease, until the control API tells of one.

        Args:
            changed: called with True when it has run out and with False when it runs again; on a
                thread of the lease's own.
            clock: seconds that only grow.
        """
        self._changed = changed
        self._clock = clock
        self._heard_at = clock()
        self._seconds: float | None = None
        self._was_over = False
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def heard(self) -> None:
        """The control API has answered."""
        self._heard_at = self._clock()

    def lasts(self, seconds: float) -> None:
        """The control API has said how long it lasts, from each answer on."""
        self._seconds = seconds
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="midcourse-lease", daemon=True)
            self._thread.start()

    def look(self) -> None:
        """Say so if it has run out since the last look, or runs again."""
        silent = self._clock() - self._heard_at
        over = self._seconds is not None and silent > self._seconds
        if over != self._was_over:
            self._was_over = over
            self._changed(over)

    def _watch(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            self.look()

    def close(self) -> None:
        """Say nothing any more."""
        self._ending.set()
