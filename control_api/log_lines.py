"""Lines of a run log, before anything is done with them. Needs no database."""

from pathlib import Path
from typing import NamedTuple

from control_api.dialects import storable_line
from midcourse.contract.link import LOG_CHUNK_BYTES
from midcourse.contract.records import LogRecord, parse_record


class Line(NamedTuple):
    """A line of a run log."""

    length: int
    """In bytes, with its newline."""
    record: LogRecord | None
    fault: str = ""
    """Why it is no record, where it is none."""


def parse_lines(data: bytes) -> list[Line]:
    """The whole lines of some run log."""
    return [_parse(line) for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True)]


def _parse(line: bytes) -> Line:
    try:
        return Line(len(line), parse_record(storable_line(line)))
    except (ValueError, RecursionError) as error:
        return Line(len(line), None, str(error))


def whole_lines(path: Path, offset: int) -> bytes:
    """What a run's log holds from an offset on, in whole lines: about a chunk, or all there is."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(LOG_CHUNK_BYTES)
            if data and b"\n" not in data:
                data += file.readline()  # one line longer than a chunk
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]
