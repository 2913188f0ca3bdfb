"""The runs of a home folder, as their files tell of them: no control API is asked."""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from midcourse.contract.errors import MidcourseError
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Metrics, parse_record
from midcourse.contract.runs import RunFile
from midcourse.runlog import whole_lines


class NoSuchRun(MidcourseError):
    """A word names no run of the home, or more than one."""


@dataclass(frozen=True)
class HomeRun:
    """One run, found on disk."""

    run: RunFile
    paths: RunPaths

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id


def read_run(folder: Path) -> HomeRun | None:
    """The run whose folder this is; None where it has not begun, or its file cannot be read."""
    try:
        run = RunFile.model_validate_json((folder / "run.json").read_bytes())
    except (OSError, ValidationError):
        return None
    if run.id != folder.name:  # a copy under another name: its paths would be another run's
        return None
    return HomeRun(run, RunPaths(folder.parent.parent, run.id))


def runs_of(home: Path) -> list[HomeRun]:
    """Every run of a home that has begun, by id; none where there is no such folder."""
    try:
        folders = sorted((home / "runs").iterdir())
    except FileNotFoundError:
        return []
    found = (read_run(folder) for folder in folders)
    return [run for run in found if run is not None]


def choose(home: Path, words: Sequence[str]) -> list[HomeRun]:
    """The runs that are named, each once, in the order of their ids; all where none is.

    Args:
        home: the folder of all runs.
        words: ids, unique beginnings of ids, names, or run folders, of this home or of another.

    Raises:
        NoSuchRun: a word names none, or several; without words, there is no such home.
    """
    here = runs_of(home)
    if not words:
        if not home.is_dir():
            raise NoSuchRun(f"there is no folder {home}; --home names the folder of all runs")
        return here
    chosen = {run.paths.folder.resolve(): run for run in (_one(home, here, each) for each in words)}
    return sorted(chosen.values(), key=lambda run: run.id)


def _one(home: Path, here: Sequence[HomeRun], word: str) -> HomeRun:
    if os.sep in word:
        found = read_run(Path(word).resolve())
        if found is None:
            raise NoSuchRun(f"{word} is no run's folder: it must hold a run.json of that run")
        return found
    exact = [run for run in here if run.id == word]
    named = exact or [run for run in here if run.run.name == word]
    meant = named or [run for run in here if run.id.startswith(word)]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise NoSuchRun(f"there is no run {word!r} in {home}; `ls {home / 'runs'}` has them")
    several = ", ".join(run.id for run in meant[:10])
    raise NoSuchRun(f"{word!r} may be any of {several}: give more of the id")


def began(run: HomeRun) -> float | None:
    """When the run's log begins, in seconds since 1970; None where it says nothing yet."""
    try:
        lines = whole_lines(run.paths.run_log, 0, 1 << 16)
        first = parse_record(lines[0]) if lines else None
    except (OSError, ValueError, ValidationError):
        return 0.0  # what follows may be readable; whoever reads it says what is not
    if first is None:
        return None
    return first.time if isinstance(first, Metrics) else first.at.timestamp()


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock file: a trainer its run's, a tracker its own.

    A trainer, and a tracker beside one, wait for it longer than this look takes.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks cannot tell
        return False
    finally:
        os.close(descriptor)
    return False
