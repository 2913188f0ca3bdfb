"""The run log: append-only JSON lines with what a run said. `contract.records` defines the lines.

Writing is buffered: `log()` in the loop costs a list append; `flush()` turns what has gathered into
one write to the kernel, so a killed process loses at most what was not flushed, and that is redone
after a restart. A full disk keeps the lines in memory and tries again.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from pydantic_core import to_json

from midcourse.contract.base import Record
from midcourse.contract.errors import MidcourseError
from midcourse.contract.records import LogRecord, parse_record
from midcourse.fence import Fence

READ_BYTES = 1_000_000


class CorruptRunLog(MidcourseError):
    """A line of a run log is no record."""


class RunLogReader:
    """Reads whole records from a growing run log, from a byte offset on."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        """Where the next unread line begins; valid across restarts of writer and reader."""

    def read(self, max_bytes: int = READ_BYTES) -> list[LogRecord]:
        """The records that are complete by now, about `max_bytes` of them; `[]` at the end.

        Raises:
            CorruptRunLog: a complete line is no record; names the file and the offset.
        """
        records: list[LogRecord] = []
        for line in whole_lines(self.path, self.offset, max_bytes):
            try:
                records.append(parse_record(line))
            except ValueError as error:
                if records:  # they are good; the next call meets the damage first
                    break
                raise CorruptRunLog(
                    f"{self.path} has a damaged line at byte {self.offset}: {error}"
                ) from error
            self.offset += len(line)
        return records


def whole_lines(path: Path, offset: int, max_bytes: int) -> list[bytes]:
    """The complete lines (with their newline) from `offset` on, at least one if there is one."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(max_bytes)
            if data and b"\n" not in data:
                data += file.readline()  # one line longer than the limit
    except FileNotFoundError:
        return []
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


class RunLogWriter:
    """Appends records to a run log. Thread-safe. One writer a run: lock and fence see to that."""

    def __init__(self, path: Path, fence: Fence | None = None) -> None:
        """Open a run log, or begin one; an unfinished last line (a crash) is removed.

        Args:
            path: of the file.
            fence: looked at before each write; once a later attempt has the run, nothing more is
                written.

        Raises:
            PlaceLost: a later attempt has it already.
        """
        self.path = path
        self._fence = fence
        self.on_lost: Callable[[], None] = lambda: None
        """Called when a write was left out because a later attempt has the run."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if fence is not None and not fence.holds():
            os.close(self._file)
            fence.check()
        # From here on the file is ours: a later attempt copies it and leaves this one to us.
        self._size = _cut_torn_line(self._file)
        self._lines: list[bytes] = []
        self._lock = threading.Lock()
        self.trouble: OSError | None = None
        """Why the last write failed; None when all is written."""

    @property
    def size(self) -> int:
        """How many bytes are written: the offset of the next line."""
        return self._size

    def append(self, *records: Record) -> None:
        """Add records; `flush` writes them."""
        self.append_lines(record.to_json().encode() + b"\n" for record in records)

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Add ready-made lines, each ending in a newline."""
        with self._lock:
            self._lines.extend(lines)

    def flush(self, *, durable: bool = False) -> bool:
        """Write what has gathered to the kernel (`durable`: to the disk).

        Returns:
            False if the disk would not take it; the lines are kept for the next flush. Also if a
            later attempt has the run; then they are gone.
        """
        with self._lock:
            if self._file < 0:
                return not self._lines
            if self._lines and self._fence is not None and not self._fence.holds():
                self._lines.clear()
                self.on_lost()
                return False
            data = b"".join(self._lines)
            try:
                written = 0
                while written < len(data):
                    written += os.pwrite(self._file, data[written:], self._size + written)
                if durable:
                    os.fsync(self._file)
            except OSError as error:
                # A reader only takes whole lines: a half-written one is overwritten next time.
                self.trouble = error
                return False
            self.trouble = None
            self._size += len(data)
            self._lines.clear()
            return True

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush(durable=True)
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


def metrics_lines(
    rows: Sequence[tuple[float, int, tuple[str, ...], Sequence[float]]],
) -> list[bytes]:
    """`Metrics` records as lines, without the cost of a model: this is the hot path.

    Args:
        rows: time in seconds since 1970, step, names, and a float for each name.
    """
    # All numbers are spelled in one call: shortest texts that read back as the same floats, and
    # the words of `MetricValue` for what is none.
    flat = [number for time, _, _, values in rows for number in (time, *values)]
    texts = iter(to_json(flat, inf_nan_mode="strings")[1:-1].split(b","))
    return [
        _template(names) % (next(texts), step, *islice(texts, len(names)))
        for _, step, names, _ in rows
    ]


@lru_cache(maxsize=256)
def _template(names: tuple[str, ...]) -> bytes:
    """The line of these metrics, to be filled with time, step and values."""
    fields = ",".join(f"{json.dumps(name).replace('%', '%%')}:%b" for name in names)
    return f'{{"type":"metrics","time":%b,"step":%d,"values":{{{fields}}}}}\n'.encode()


def _cut_torn_line(file: int) -> int:
    """Remove an unfinished last line, left by a crash; return the size that remains."""
    size = os.fstat(file).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(file, end)
    return end
