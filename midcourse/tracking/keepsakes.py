"""Which checkpoints a tracker keeps, and how they are put where retention cannot reach them."""

import contextlib
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from midcourse.contract.checkpoints import CheckpointReason, CheckpointRecord, Manifest
from midcourse.contract.errors import MidcourseError
from midcourse.contract.paths import RunPaths


class CheckpointGone(MidcourseError):
    """A checkpoint that was to be kept is no longer whole on disk."""


class CheckpointBook:
    """The checkpoints that the log speaks of and that were not deleted."""

    def __init__(self) -> None:
        self._there: dict[str, CheckpointRecord] = {}

    def written(self, record: CheckpointRecord) -> None:
        """A checkpoint is on disk; a redo says so again."""
        self._there.setdefault(record.name, record)

    def deleted(self, name: str) -> None:
        """Retention removed it."""
        self._there.pop(name, None)

    def best_and_last(self) -> list[tuple[CheckpointRecord, list[str]]]:
        """The checkpoints worth keeping with their aliases; the last one stands last."""
        trained = [
            record
            for record in self._there.values()
            if record.reason is not CheckpointReason.INITIAL
        ]
        trained.sort(key=lambda record: record.step)
        if not trained:
            return []
        last = trained[-1]
        best = next((record for record in reversed(trained) if record.best), None)
        if best is None:
            return [(last, [last.name, "latest"])]
        if best is last:
            return [(last, [last.name, "best", "latest"])]
        return [(best, [best.name, "best"]), (last, [last.name, "latest"])]


def staging_folder(paths: RunPaths) -> Path:
    """Where lies what a tracker keeps: checkpoints, each in its folder, and the journal."""
    return paths.tracking / "kept"


def stage(paths: RunPaths, name: str) -> Path:
    """Give a checkpoint's files a second name below `tracking/`: no copy where links can be made.

    Returns:
        The folder with the manifest and every file that it names.

    Raises:
        CheckpointGone: it vanished, or is not whole.
    """
    source = paths.checkpoint(name)
    target = staging_folder(paths) / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        manifest = Manifest.model_validate_json((source / "manifest.json").read_bytes())
        for file in ("manifest.json", *manifest.files):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source / file, target / file)
        for file, expected in manifest.files.items():
            if (target / file).stat().st_size != expected.bytes:
                raise CheckpointGone(f"checkpoint {name} is not kept: its {file} is not whole")
    except (OSError, ValidationError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise CheckpointGone(f"checkpoint {name} is not kept: {_first_line(error)}") from None
    except CheckpointGone:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def _link_or_copy(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
