"""One tracker a run: two would write the same W&B run."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from midcourse.contract.errors import MidcourseError
from midcourse.contract.paths import RunPaths

_LOOK_AGAIN_SECONDS = 0.2


class AnotherTracker(MidcourseError):
    """Another tracker of the run is at work."""


@contextmanager
def sole_tracker(paths: RunPaths, keep_waiting: Callable[[], bool]) -> Iterator[None]:
    """Hold the run's tracker lock; the kernel lets go of it when this process ends.

    Args:
        paths: Of the run.
        keep_waiting: Asked while another tracker holds the lock.

    Raises:
        AnotherTracker: it still held the lock when `keep_waiting` said no.
    """
    paths.tracking.mkdir(parents=True, exist_ok=True)
    file = os.open(paths.tracking / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not keep_waiting():
                    raise AnotherTracker(
                        f"another tracker of run {paths.folder.name} is at work; see "
                        f"{paths.tracking_log}"
                    ) from None
                time.sleep(_LOOK_AGAIN_SECONDS)
        yield
    finally:
        os.close(file)
