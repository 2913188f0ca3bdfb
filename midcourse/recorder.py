"""The recorder: what the loop logs, on its way to the run log.

`metrics()` costs the loop a list append. A thread turns what has gathered into lines several times
a second, fetching device values in bulk; the loop itself never waits for the device.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch

from midcourse.contract.base import Record
from midcourse.runlog import RunLogWriter, metrics_line

FLUSH_SECONDS = 0.25

_Row = tuple[float, int, Mapping[str, Any]]


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
            flushed: called after each flush that wrote something.
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
        self._thread = threading.Thread(target=self._run, name="midcourse-recorder", daemon=True)
        self._thread.start()

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Take numbers and 0-dim tensors of one step; tensors are copied, not read."""
        kept = {
            name: value.detach().clone() if isinstance(value, torch.Tensor) else value
            for name, value in values.items()
        }
        self._rows.append((time.time(), step, kept))

    def record(self, *records: Record) -> None:
        """Write records at once, after all metrics that were logged before them."""
        with self._lock:
            self._append_rows()
            self.log.append(*records)
            self.flush()

    def flush(self) -> bool:
        """Write everything logged so far to the kernel; False if the disk would not take it."""
        with self._lock:
            self._append_rows()
            before = self.log.size
            written = self.log.flush()
            grew = self.log.size != before
        if grew:
            self._flushed()
        return written

    def _append_rows(self) -> None:
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows:
            return
        fetched = iter(_fetch([v for row in rows for v in row[2].values() if torch.is_tensor(v)]))
        lines = []
        for moment, step, values in rows:
            numbers = {
                name: next(fetched) if torch.is_tensor(value) else value
                for name, value in values.items()
            }
            lines.append(metrics_line(moment, step, numbers))
        self.log.append_lines(lines)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.flush()
            self._tick()

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join()
        self.flush()
        self.log.close()


def _fetch(tensors: list[torch.Tensor]) -> list[float]:
    """The values of 0-dim tensors, with one transfer for each device."""
    values: list[float] = [0.0] * len(tensors)
    by_device: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        by_device.setdefault(tensor.device, []).append(index)
    for indices in by_device.values():
        stacked = torch.stack([tensors[index].to(torch.float64).reshape(()) for index in indices])
        for index, value in zip(indices, stacked.tolist(), strict=True):
            values[index] = value
    return values
