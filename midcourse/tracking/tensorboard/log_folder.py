"""The folder that TensorBoard shows: a folder of event files for each run that was asked for."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from midcourse.contract.errors import MidcourseError
from midcourse.tracking.home import HomeRun, began
from midcourse.tracking.tensorboard.names import places
from midcourse.tracking.tensorboard.run_writer import MARK, RunWriter, read_mark

LOCK: Final = "midcourse.lock"


class FolderInUse(MidcourseError):
    """Another process writes into the folder."""


class LogFolder:
    """Keeps the event files of several runs level with their logs."""

    def __init__(
        self, folder: Path, find: Callable[[], list[HomeRun]], note: Callable[[str], None]
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: where TensorBoard looks.
            find: the runs that it is to show; asked again for those that begin later.
            note: told what is not shown.
        """
        self.folder = folder
        self._find = find
        self._note = note
        self._writers: dict[str, RunWriter] = {}
        self.failed: dict[str, str] = {}
        """Runs that are not shown, with the reason."""

    @property
    def shown(self) -> list[tuple[HomeRun, str]]:
        """The runs with the names that they have in TensorBoard."""
        return [
            (writer.run, writer.target.relative_to(self.folder).as_posix())
            for writer in self._writers.values()
            if writer.run.id not in self.failed and read_mark(writer.target)
        ]

    def look(self) -> None:
        """Begin with runs that are new, and write what logs have gained.

        A run that cannot be read is noted and left out; the others are none the worse for it.
        """
        self._begin_new()
        for run_id, writer in self._writers.items():
            if run_id in self.failed:
                continue
            try:
                writer.look()
            except OSError as error:
                self.failed[run_id] = f"{error.filename or writer.target}: {error.strerror}"
                self._note(f"run {run_id} is not shown ({self.failed[run_id]})")

    def close(self) -> None:
        """Let go of all files."""
        for writer in self._writers.values():
            writer.close()

    def _begin_new(self) -> None:
        runs = [run for run in self._find() if run.id not in self._writers]
        if not runs and self._writers:
            return
        begun = sorted(
            ((moment, run.id, run) for run in runs if (moment := began(run)) is not None),
        )
        known = [writer.run for writer in self._writers.values()]
        ordered = [*known, *(run for _, _, run in begun)]
        where = places([run.run for run in ordered])
        for run in ordered[len(known) :]:
            target = self.folder / where[run.id]
            if target.exists() and read_mark(target) is None and any(target.iterdir()):
                self.failed[run.id] = f"{target} is there, and was not written by Midcourse"
                self._note(f"run {run.id} is not shown ({self.failed[run.id]})")
            note = self._noter(run.id)
            self._writers[run.id] = RunWriter(run, target, note)
        if not known:
            self._clear(set(where.values()))

    def _noter(self, run_id: str) -> Callable[[str], None]:
        return lambda text: self._note(f"run {run_id}: {text}")

    def _clear(self, wanted: set[str]) -> None:
        """Remove the folders of ours that are not asked for; nothing else is touched."""
        for mark in self.folder.glob(f"*/*/{MARK}"):
            place = mark.parent
            if place.relative_to(self.folder).as_posix() not in wanted and read_mark(place):
                shutil.rmtree(place, ignore_errors=True)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder against others of this kind.

    Raises:
        FolderInUse: another has it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"another `midcourse tensorboard` writes into {folder}; end that one, or give this "
                "one a folder of its own with --logdir"
            ) from None
        yield
    finally:
        os.close(lock)
