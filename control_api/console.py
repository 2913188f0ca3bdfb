"""What a run's trainer printed, as it grows: `GET /runs/{id}/logs`.

Offsets are in bytes of what was printed. A byte that is no UTF-8 is shown as `?`, so that what is
sent is as long as what was printed: who has received n bytes goes on n further.
"""

import codecs
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from control_api.bell import run_key
from control_api.database import Database
from control_api.dialects import AWAY
from control_api.lifecycle import get_run
from control_api.tables import AttemptRow, RunRow
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import ENDED

PIECE_BYTES = 65_536
WATCH_SECONDS = 0.25
"""How often a growing log is looked at."""
LOOK_SECONDS = 1.0
"""How often it is looked whether the run, and whoever listens, are still there."""

Wait = Callable[[float], None]


class Console(Protocol):
    """Where a launcher keeps what a trainer printed."""

    def size(self) -> int:
        """How many bytes there are; 0 where nothing was printed."""

    def read(self, offset: int, most: int) -> bytes:
        """Some bytes from an offset on; none at the end."""


class FileConsole:
    """A file that grows: the `process` launcher's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self) -> int:
        """How many bytes there are; 0 where there is no file."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, offset: int, most: int) -> bytes:
        """Some bytes from an offset on; none at the end, or where there is no file."""
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(most)
        except FileNotFoundError:
            return b""


def console_of(session: Session, home: Path, run: RunRow) -> Console:
    """What a run's trainer prints to.

    A run that took another's place goes on in that one's process, which prints where it did; only
    a trainer that is started for the run itself has a console of its own.
    """
    path = RunPaths(home, run.id).console_log
    while not path.exists() and run.reverts and run.parent_id is not None:
        run = get_run(session, run.parent_id)
        path = RunPaths(home, run.id).console_log
    return FileConsole(path)


def start_of_tail(console: Console, lines: int) -> int:
    """Where the last lines begin; a last line that has no end yet counts as one."""
    size = console.size()
    if not lines or not size:
        return size
    stop = size - 1 if console.read(size - 1, 1) == b"\n" else size
    while stop > 0:
        start = max(0, stop - PIECE_BYTES)
        piece = console.read(start, stop - start)
        at = len(piece)
        while (at := piece.rfind(b"\n", 0, at)) >= 0:
            lines -= 1
            if not lines:
                return start + at + 1
        stop = start
    return 0


def whole_end(console: Console, size: int) -> int:
    """The end of the last whole character, which a trainer may be in the middle of printing."""
    start = max(0, size - 3)
    piece = console.read(start, size - start)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(piece)
    unfinished, _ = decoder.getstate()
    return size - len(unfinished)


def pieces(console: Console, start: int, end: int) -> Iterator[bytes]:
    """What was printed between two offsets, a piece at a time."""
    show = _Shown()
    while start < end and (data := console.read(start, min(PIECE_BYTES, end - start))):
        start += len(data)
        yield show(data)
    yield show(b"", last=True)


def followed(
    console: Console, start: int, is_over: Callable[[], bool], wait: Wait, wait_for: float
) -> Iterator[bytes]:
    """What was printed from an offset on, and what is printed from now on, until all is over.

    Args:
        console: what is read.
        start: the first byte.
        is_over: whether nothing more will be printed, or nobody listens; asked before each look.
        wait: waits for so many seconds.
        wait_for: how long between two looks that find nothing.
    """
    show = _Shown()
    yield b""  # so that the head of the answer is sent, though nothing may be printed for long
    while True:
        over = is_over()
        while data := console.read(start, PIECE_BYTES):
            start += len(data)
            yield show(data)
        if over:
            break
        wait(wait_for)
    yield show(b"", last=True)


class Watch:
    """Whether it is over with a run's console: the run has ended and its process is gone."""

    def __init__(
        self,
        database: Database,
        run_id: str,
        listener_gone: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._run_id = run_id
        self._listener_gone = listener_gone
        self._clock = clock
        self._heard = -1
        self._looked_at = -LOOK_SECONDS

    def __call__(self) -> bool:
        """Look, unless nothing rang and the last look was a moment ago."""
        bell = self._database.bell
        if bell.silenced:
            return True
        heard, now = bell.count(run_key(self._run_id)), self._clock()
        if heard == self._heard and now - self._looked_at < LOOK_SECONDS:
            return False
        self._heard, self._looked_at = heard, now
        return self._listener_gone() or self._has_ended()

    def _has_ended(self) -> bool:
        alive = exists().where(AttemptRow.run_id == self._run_id, AttemptRow.ended_at.is_(None))
        query = select(RunRow.status, RunRow.deleted_at, alive).where(RunRow.id == self._run_id)
        try:
            with self._database.reading() as session:
                status, deleted_at, is_alive = session.execute(query).one()
        except AWAY:
            return False  # the log goes on without it
        return deleted_at is not None or (status in ENDED and not is_alive)

    def wait(self, seconds: float) -> None:
        """Until something happens to the run, or the time is over."""
        key = run_key(self._run_id)
        self._database.bell.wait(key, self._heard, seconds)


class _Shown:
    """Bytes as text in UTF-8 of the same length, though a character may lie across two pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(_EACH_BYTE)

    def __call__(self, data: bytes, *, last: bool = False) -> bytes:
        return self._decoder.decode(data, last).encode()


_EACH_BYTE = "midcourse.each-byte"


def _question_marks(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "?" * (error.end - error.start), error.end


codecs.register_error(_EACH_BYTE, _question_marks)
