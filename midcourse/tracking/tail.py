"""Reads a run log for a tracker, which must get past a damaged line."""

from collections.abc import Callable
from pathlib import Path

from midcourse.contract.errors import first_line
from midcourse.contract.records import LogRecord, parse_record
from midcourse.runlog import READ_BYTES, whole_lines


class LogTail:
    """The records of a growing run log, each with the offset where its line begins."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self.offset = 0
        """Where the next unread line begins."""
        self._note = note

    def size(self) -> int:
        """How long the log is by now; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, max_bytes: int = READ_BYTES) -> list[tuple[int, LogRecord]]:
        """The next records; a line that is none is noted and left out."""
        records: list[tuple[int, LogRecord]] = []
        for line in whole_lines(self.path, self.offset, max_bytes):
            try:
                records.append((self.offset, parse_record(line)))
            except ValueError as error:
                reason = first_line(error)
                self._note(f"the run log has a damaged line at byte {self.offset}: {reason}")
            self.offset += len(line)
        return records
