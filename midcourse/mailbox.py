"""The mailbox: commands on their way from the link's thread to the step boundary."""

import threading
from collections.abc import Callable, Iterable

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
        self._known: set[int] = set()

    def begin(self, run: str, known: Iterable[int]) -> None:
        """Forget everything; from now on take commands for this run alone, but those `known`."""
        with self._lock:
            self._waiting.clear()
            self._known = set(known)
            self._run = run

    def post(self, command: Command) -> None:
        """Add a command; one that was seen before, or is for a run before this, is dropped."""
        with self._lock:
            if command.seq in self._known or command.run != self._run:
                return
            self._known.add(command.seq)
            self._waiting[command.seq] = command
        self._alert()

    def take(self) -> Command | None:
        """The waiting command with the lowest number, or None."""
        with self._lock:
            return self._waiting.pop(min(self._waiting)) if self._waiting else None
