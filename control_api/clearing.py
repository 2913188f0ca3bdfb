"""A run's folder when the run is deleted: what it holds, and taking away what nobody needs.

Each step can be taken again: whoever was killed in the middle leaves a folder that the next one
clears in the same way.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from midcourse.contract.names import checkpoint_step
from midcourse.contract.paths import RunPaths

COMMAND_PIN = "command"
"""The pin of a checkpoint that a person asked for; it goes with the run."""

_DELETING = ".deleting-"
"""What `midcourse.checkpoints` calls a checkpoint that is being deleted, too."""


def is_in_use(paths: RunPaths) -> bool:
    """Whether a trainer, or what is left of one, holds the run's lock."""
    try:
        descriptor = os.open(paths.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def checkpoints_on_disk(paths: RunPaths) -> dict[str, set[str]]:
    """The checkpoints in a run's folder by name, each with those whose pins lie in it."""
    found = {}
    for folder in _entries(paths.checkpoints):
        with suppress(ValueError):
            checkpoint_step(folder.name)
            found[folder.name] = _keepers(folder)
    return found


def sizes_in_folder(paths: RunPaths, kept: Collection[str]) -> dict[str, int]:
    """What would go, by its name in the folder, with its bytes.

    Args:
        paths: of the run.
        kept: the checkpoints that stay, with what they need.
    """
    sizes = {}
    for entry in _entries(paths.folder):
        if entry == paths.checkpoints:
            gone = [each for each in _entries(entry) if each.name not in kept]
            sizes[entry.name] = sum(size_of(each) for each in gone)
        elif not (kept and entry in _needed_files(paths)):
            sizes[entry.name] = size_of(entry)
    return sizes


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def clear_folder(paths: RunPaths, kept: Collection[str], ignored: Collection[str]) -> set[str]:
    """Take away all but some checkpoints and what they need.

    Args:
        paths: of the run.
        kept: the checkpoints that stay.
        ignored: whose pins do not count any more.

    Returns:
        The checkpoints that stayed: also those that somebody has pinned meanwhile.

    Raises:
        OSError: something cannot be taken away.
    """
    stayed = set()
    for folder in _entries(paths.checkpoints):
        if folder.name in kept or not _take_away(folder, ignored):
            stayed.add(folder.name)
    for entry in _entries(paths.folder):
        needed = entry == paths.checkpoints or entry in _needed_files(paths)
        if not (stayed and needed):
            _remove(entry)
    if not stayed:
        with suppress(FileNotFoundError):
            paths.folder.rmdir()
    return stayed


def _needed_files(paths: RunPaths) -> tuple[Path, ...]:
    """What a branch reads of the runs that it came from: what they were, and what was commanded."""
    return (paths.run_file, paths.journal, paths.imported)


def _take_away(folder: Path, ignored: Collection[str]) -> bool:
    """Take a checkpoint away, unless somebody pins it just now: pins are looked for behind."""
    if folder.name.startswith("."):
        _remove(folder)  # half written or half deleted
        return True
    doomed = folder.with_name(f"{_DELETING}{folder.name}")
    folder.rename(doomed)
    if _keepers(doomed) - {COMMAND_PIN, *ignored}:
        doomed.rename(folder)
        return False
    _remove(doomed)
    return True


def _keepers(checkpoint: Path) -> set[str]:
    return {pin.name for pin in _entries(checkpoint / "pins")}


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(folder.iterdir())


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
