"""Tokens of trainers that were found good a moment ago, so that not each report looks them up.

A trainer asks once a second or so, and what it may do depends on its place (`control_api.place`),
which is looked at each time. A token that is taken back is refused as soon as this process has
heard that something happened to its run, and at the latest after `TRUSTED_SECONDS`. Tokens of
people are never kept.
"""

import threading
import time
from collections.abc import Callable

from control_api.bell import Bell, run_key
from control_api.tokens import Caller, sha256

TRUSTED_SECONDS = 60.0
_MOST = 10_000
"""Trainers; beyond, all are looked up anew."""


class KnownTrainers:
    """What this process knows of trainers' tokens."""

    def __init__(self, bell: Bell, clock: Callable[[], float] = time.monotonic) -> None:
        self._bell = bell
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[Caller, float, int]] = {}

    def find(
        self, token: str, run_id: str | None, look: Callable[[], Caller | None]
    ) -> Caller | None:
        """Whose token it is; None if nobody's.

        Args:
            token: as it was sent.
            run_id: the run that the request is about.
            look: looks the token up, where it is not known.
        """
        if run_id is None:
            return look()
        key, now, rings = (sha256(token), run_id), self._clock(), self._bell.count(run_key(run_id))
        caller, until, heard = self._known.get(key, (None, 0.0, 0))
        if caller is not None and now < until and heard == rings:
            return caller
        caller = look()
        if caller is not None and caller.role is None and run_id in caller.runs:
            with self._lock:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[key] = (caller, now + TRUSTED_SECONDS, rings)
        return caller
