"""Greenlets in place of threads: what waits in a web worker gives way to others.

Most requests of trainers wait: a long-poll for commands, a report for those that are written with
it. A greenlet that waits costs a few kilobytes, and switching between them takes no lock.
"""

import gc
import selectors
from collections import deque
from typing import Any

import gevent
from gevent import monkey
from gevent.hub import Waiter

LONGEST_WAIT_SECONDS = 0.005
"""One is let through so often all the same, while others never stop coming."""


def patch() -> None:
    """Patch this process, before it has any thread."""
    monkey.patch_all(ssl=False)  # TLS is not ours: a proxy's, and the database library's
    _patch_psycopg()


def settle() -> None:
    """Call when all that stays has been made.

    The garbage collector need not go through it, time and again, while everybody waits: it took a
    quarter of a busy worker's time. What comes and goes is mostly freed without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 50)


class Turnstile:
    """Lets through one at a time of those who are in no hurry, when nobody else has anything to do.

    A hundred reports that come together, or are answered together, would else all have their turn
    before whatever comes meanwhile; and a request that asks the database ten times would meet such
    a crowd ten times. Threads pass at once.
    """

    def __init__(self) -> None:
        self._crowd: deque[Waiter[None]] = deque()
        self._watchers: tuple[Any, ...] = ()

    def pass_through(self) -> None:
        """Wait for one's turn."""
        if not monkey.is_module_patched("threading"):
            return
        waiter: Waiter[None] = Waiter()
        self._crowd.append(waiter)
        if len(self._crowd) == 1:
            self._open()
        waiter.get()

    def _open(self) -> None:
        if not self._watchers:
            loop = gevent.get_hub().loop
            self._watchers = (loop.idle(), loop.timer(LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))
        for watcher in self._watchers:
            watcher.start(self._let_through)

    def _let_through(self) -> None:
        waiter = self._crowd.popleft()
        if not self._crowd:
            for watcher in self._watchers:
                watcher.stop()
        waiter.switch(None)


def _patch_psycopg() -> None:
    """Psycopg chose how to wait when it was imported, before there was anything to give way to."""
    import psycopg.waiting

    psycopg.waiting.wait = psycopg.waiting.wait_poll
    psycopg.waiting.DefaultSelector = selectors.DefaultSelector  # type: ignore[attr-defined]
