"""When to try again what came to nothing: later each time, up to a limit."""

from collections.abc import Hashable
from datetime import datetime, timedelta


class Patience:
    """Pauses that double with each failure of the same thing."""

    def __init__(self, first: timedelta, longest: timedelta) -> None:
        self._first = first
        self._longest = longest
        self._due: dict[Hashable, tuple[int, datetime]] = {}

    def failed(self, what: Hashable, now: datetime, at_least: timedelta = timedelta()) -> timedelta:
        """Take note of a failure.

        Returns:
            The pause until the next try.
        """
        times, _ = self._due.get(what, (0, now))
        pause = min(max(self._first * 2.0 ** min(times, 30), at_least), self._longest)
        self._due[what] = (times + 1, now + pause)
        return pause

    def is_over(self, what: Hashable, now: datetime) -> bool:
        """Whether it may be tried."""
        return what not in self._due or self._due[what][1] <= now

    def succeeded(self, what: Hashable) -> None:
        """Forget its failures."""
        self._due.pop(what, None)
