"""How fast the run goes, measured by whoever asks now and then."""

import time
from collections.abc import Callable

_LEAST_SECONDS = 0.5


class Rate:
    """Steps per second between askings."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: float | None = None
        self._step = 0
        self._rate: float | None = None

    def at(self, step: int) -> float | None:
        """The rate up to `step`; None until half a second has been seen."""
        now = self._clock()
        if self._at is None or step < self._step:
            self._at, self._step = now, step
        elif now - self._at >= _LEAST_SECONDS:
            self._rate = (step - self._step) / (now - self._at)
            self._at, self._step = now, step
        return self._rate
