"""The recorder: what the loop logs, on its way to the run log.

`metrics()` costs the loop one copy on the device and a list append. A thread turns what has
gathered into lines several times a second, fetching device values in bulk; the loop itself never
waits for the device. What the thread does, it does holding the interpreter that the loop needs too,
so it does little and does it rarely.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice

import torch

from midcourse.contract.base import Record
from midcourse.readings import Reading, copy_each, fetch, reading
from midcourse.runlog import RunLogWriter, metrics_lines

FLUSH_SECONDS = 0.25
"""How often trackers, which read the file, see more."""
SHIP_EVERY = 4
"""So many flushes go by before metrics alone are worth a request to the control API."""

_Row = tuple[float, int, tuple[str, ...], tuple[float, ...], tuple[Reading, ...]]
"""Time, step, names, and their values: first those that are at hand, then those to be fetched."""


class Recorder:
    """Buffers the log of one run."""

    def __init__(
        self,
        log: RunLogWriter,
        flushed: Callable[[], None],
        tick: Callable[[], None],
        seconds: float = FLUSH_SECONDS,
    ) -> None:
        """Begin recording.

        Args:
            log: where to.
            flushed: called when the log has grown by a record, or for a while.
            tick: called as often as the thread flushes, on its thread.
            seconds: how often the thread flushes.
        """
        self.log = log
        self._flushed = flushed
        self._tick = tick
        self._rows: deque[_Row] = deque()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._seconds = seconds
        self._told_size = log.size
        """How much of the log `flushed` was called for."""
        self._thread = threading.Thread(target=self._run, name="midcourse-recorder", daemon=True)
        self._thread.start()

    def row(self, step: int, names: tuple[str, ...], values: torch.Tensor) -> None:
        """Take many numbers of one step as one 1-dim tensor, which nobody may change from now on.

        Args:
            step: of which step.
            names: of each number. Keep the tuple from step to step: nothing is done for each name.
            values: as many, on any device; they are not read here.
        """
        self._rows.append((time.time(), step, names, (), (reading(values),)))

    def numbers(self, step: int, names: tuple[str, ...], values: tuple[float, ...]) -> None:
        """Take as many numbers of one step as there are names."""
        self._rows.append((time.time(), step, names, values, ()))

    def metrics(
        self, step: int, numbers: Mapping[str, float], tensors: Mapping[str, torch.Tensor]
    ) -> None:
        """Take numbers and tensors of one element of one step; tensors are copied, not read."""
        readings = copy_each(tuple(tensors.values())) if tensors else ()
        names = (*numbers, *tensors)
        self._rows.append((time.time(), step, names, tuple(numbers.values()), readings))

    def record(self, *records: Record) -> None:
        """Write records at once, after all metrics that were logged before them."""
        with self._lock:
            self._append_rows()
            self.log.append(*records)
            self.flush()
            self._tell()

    def flush(self) -> bool:
        """Write everything logged so far to the kernel; False if the disk would not take it."""
        with self._lock:
            self._append_rows()
            return self.log.flush()

    def _tell(self) -> None:
        size = self.log.size
        if size != self._told_size:
            self._told_size = size
            self._flushed()

    def _append_rows(self) -> None:
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows:
            return
        fetched = iter(fetch([each for row in rows for each in row[4]]))
        self.log.append_lines(
            metrics_lines(
                [
                    (moment, step, names, [*at_hand, *islice(fetched, len(names) - len(at_hand))])
                    for moment, step, names, at_hand, _ in rows
                ]
            )
        )

    def _run(self) -> None:
        flushes = 0
        while not self._stop.wait(self._seconds):
            self.flush()
            flushes += 1
            if flushes % SHIP_EVERY == 0:
                self._tell()
            self._tick()

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join()
        self.flush()
        self._tell()
        self.log.close()
