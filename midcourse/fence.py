"""The fence: which attempt has a run's folder, whatever has become of its lock.

A lock can fail to keep two trainers apart: on a file system without locks, or where a machine that
was believed dead lives on. So each trainer that takes a run over puts a file of its own into the
folder `fence`, named by its attempt, and the highest name has the run. Whoever has not looks before
it writes, and writes no more.

What was looked at may change before the write that follows. Therefore nobody writes into a file
that another may have taken over, either: the run log and the journal are copied when a run is taken
over, so that whoever had them open is left with a file that nobody reads, and what is half written
under a temporary name, which bears its writer's, is cleared away.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from midcourse.contract.paths import RunPaths
from midcourse.errors import PlaceLost

_TAKING = ".taking-"
"""Begins the name of a copy that has not taken the place of its original yet."""


class Fence:
    """One process's claim to a folder. `holds` says whether a later one has come."""

    def __init__(self, folder: Path, name: str) -> None:
        """A claim that was made; see `take`.

        Args:
            folder: of all claims.
            name: of this one.
        """
        self.folder = folder
        self.name = name
        self._lost = False

    @classmethod
    def take(cls, folder: Path, attempt: int) -> "Fence":
        """Claim the folder, for good or until another does.

        Args:
            folder: of all claims; it is made if need be.
            attempt: which start of the run this is; 0 where nobody counts, which comes after all
                that were counted so far.

        Raises:
            PlaceLost: a later attempt has it.
            OSError: it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        names = _names(folder)
        number = attempt or max((int(name[:9]) for name in names), default=0)
        while True:
            of_number = [int(name[10:]) for name in _names(folder) if int(name[:9]) == number]
            name = f"{number:09d}-{max(of_number, default=0) + 1:09d}"
            try:
                (folder / name).touch(exist_ok=False)
                break
            except FileExistsError:  # another took it in the same instant
                continue
        fence = cls(folder, name)
        if not fence.holds():
            (folder / name).unlink(missing_ok=True)  # it came too late
            fence.check()
        for older in _names(folder):
            if older < name:
                with suppress(OSError):
                    (folder / older).unlink()
        return fence

    def holds(self) -> bool:
        """Whether nobody has come since. Costs a look into a folder of one file."""
        if not self._lost:
            self._lost = any(name > self.name for name in _names(self.folder))
        return not self._lost

    def check(self) -> None:
        """Go on only if nobody has come since.

        Raises:
            PlaceLost: another has.
        """
        if not self.holds():
            raise PlaceLost(
                f"run {self.folder.parent.name} was taken over by a later attempt "
                f"({max(_names(self.folder))} after {self.name}); this one ends"
            )


def take_over(paths: RunPaths, attempt: int) -> Fence:
    """Make a run this process's own; call with its lock held.

    Raises:
        PlaceLost: a later attempt has it.
        OSError: its folder cannot be written.
    """
    fence = Fence.take(paths.fence, attempt)
    for left in paths.folder.glob(f"{_TAKING}*"):
        left.unlink(missing_ok=True)
    for file in (paths.run_log, paths.journal):
        _leave_behind(file, fence)
    return fence


def _leave_behind(file: Path, fence: Fence) -> None:
    """Put a copy in a file's place, so that who has it open no longer writes into it."""
    copy = file.with_name(f"{_TAKING}{fence.name}-{file.name}")
    try:
        shutil.copyfile(file, copy)
        _sync(copy)
        copy.replace(file)
    except FileNotFoundError:
        fence.check()  # a later attempt has cleared the copy away; else there is no such file yet
    except OSError:  # a full disk: then the looks before each write must do
        copy.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if len(name) == 19]  # noqa: PTH208 (is faster)
    except FileNotFoundError:
        return []
