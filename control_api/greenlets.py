"""Greenlets in place of threads: what waits in a web worker gives way to others.

Most requests of trainers wait: a long-poll for commands, a report for those that are written with
it. A greenlet that waits costs a few kilobytes, and switching between them takes no lock.
"""

import gc
import selectors

from gevent import monkey


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


def _patch_psycopg() -> None:
    """Psycopg chose how to wait when it was imported, before there was anything to give way to."""
    import psycopg.waiting

    psycopg.waiting.wait = psycopg.waiting.wait_poll
    psycopg.waiting.DefaultSelector = selectors.DefaultSelector  # type: ignore[attr-defined]
