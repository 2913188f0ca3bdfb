"""The mailbox: commands on their way from the link's thread to the step boundary."""

import threading
from collections.abc import Callable

from midcourse.contract.commands import Command


class Mailbox:
    """Keeps commands in the order of their numbers; each number once, whatever the wire repeats."""

    def __init__(self, alert: Callable[[], None]) -> None:
        """An empty mailbox.

        Args:
            alert: called, on the posting thread, when there is something to take.
        """
        self._alert = alert
        self._run: str | None = None
        self._lock = threading.Lock()
        self._waiting: dict[int, Command] = {}
        self._taken_up_to = 0

    def start_after(self, seq: int, run: str) -> None:
        """Forget everything, and from now on take only numbers above `seq`, for this run alone."""
        with self._lock:
            self._waiting.clear()
            self._taken_up_to = seq
            self._run = run

    def post(self, command: Command) -> None:
        """Add a command; one that was seen before, or is for a run before this, is dropped."""
        with self._lock:
            known = command.seq <= self._taken_up_to or command.seq in self._waiting
            if known or command.run != self._run:
                return
            self._waiting[command.seq] = command
        self._alert()

    def take(self) -> Command | None:
        """The waiting command with the lowest number, or None."""
        with self._lock:
            if not self._waiting:
                return None
            self._taken_up_to = min(self._waiting)
            return self._waiting.pop(self._taken_up_to)
