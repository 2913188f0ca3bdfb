"""Errands: what a tracker asks of a server beside the rows, each until it is done.

A question to a server may take seconds, and in an outage fail; rows do not wait for it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from midcourse.contract.errors import MidcourseError, first_line

Attempt = Callable[[], bool]
"""Tries once. True: it is done. False: not yet, try again later. Raises: the same, with a reason;
`NeverDone`: there is no use in trying again.
"""


class NeverDone(MidcourseError):
    """An errand that no later attempt will do either."""


@dataclass(frozen=True)
class Undone:
    """An errand that was not done."""

    what: str
    """In a few words."""
    reason: str
    never: bool
    """Whether no later attempt will do it either."""

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


@dataclass
class _Errand:
    what: str
    attempt: Attempt
    due: float = 0.0
    reason: str | None = None
    never: bool = False

    def undone(self) -> Undone:
        return Undone(self.what, self.reason or "it was not there yet", self.never)


class Errands:
    """Runs errands one after the other, in a thread of its own."""

    def __init__(
        self, pause_seconds: float = 20.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """No thread is started before there is something to do.

        Args:
            pause_seconds: between two attempts of one errand.
            clock: seconds that only grow.
        """
        self._pause = pause_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._open: deque[_Errand] = deque()
        self._given_up: list[_Errand] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, what: str, attempt: Attempt) -> None:
        """Have something done; `what` says in a few words what that is, for people."""
        with self._changed:
            self._open.append(_Errand(what, attempt))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="midcourse-errands", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to do."""
        with self._changed:
            return not self._open

    def finish(self, seconds: float) -> list[Undone]:
        """Try everything at least once more, wait for it a while, and end.

        Returns:
            What was not done.
        """
        deadline = self._clock() + seconds
        with self._changed:
            for errand in self._open:
                errand.due = 0.0
            self._changed.notify_all()
            while self._open and (left := deadline - self._clock()) > 0:
                self._changed.wait(min(left, 0.5))
            self._closed = True
            self._changed.notify_all()
            return [errand.undone() for errand in (*self._given_up, *self._open)]

    def _work(self) -> None:
        while (errand := self._next()) is not None:
            try:
                done, errand.reason = errand.attempt(), None
            except NeverDone as error:
                done, errand.never, errand.reason = False, True, first_line(error)
            except Exception as error:  # an outage, a refusal: SDKs raise many kinds
                done, errand.reason = False, first_line(error)
            with self._changed:
                errand.due = self._clock() + self._pause
                if done or errand.never:
                    self._open.remove(errand)
                if errand.never:
                    self._given_up.append(errand)
                self._changed.notify_all()

    def _next(self) -> _Errand | None:
        """The first that is due, when it is; None once it is closed."""
        with self._changed:
            while not self._closed:
                due = [errand for errand in self._open if errand.due <= self._clock()]
                if due:
                    return due[0]
                self._changed.wait(0.5 if self._open else None)
            return None
