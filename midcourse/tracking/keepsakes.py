"""How checkpoints that a tracker publishes are put where retention cannot reach them."""

import contextlib
import os
import shutil
from itertools import chain, count
from pathlib import Path

from pydantic import ValidationError

from midcourse.contract.checkpoints import Manifest
from midcourse.contract.errors import MidcourseError, first_line
from midcourse.contract.paths import RunPaths


class CheckpointGone(MidcourseError):
    """A checkpoint that was to be kept is no longer whole on disk."""


def staging_folder(paths: RunPaths) -> Path:
    """Where lies what a tracker keeps: checkpoints, each in its folder, and the journal."""
    return paths.tracking / "kept"


def stage(paths: RunPaths, name: str) -> Path:
    """Give a checkpoint's files a second name below `tracking/`: no copy where links can be made.

    What was staged before stays as it is: it may be on its way to a server.

    Returns:
        The folder with the manifest, every file that it names, and the run's own file and journal.

    Raises:
        CheckpointGone: it vanished, or is not whole.
    """
    source = paths.checkpoint(name)
    target = _free_folder(staging_folder(paths), name)
    try:
        manifest = Manifest.model_validate_json((source / "manifest.json").read_bytes())
        for file in ("manifest.json", *manifest.files):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source / file, target / file)
        for about in (paths.run_file, paths.journal):  # what a fork elsewhere needs, as it is now
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(about, target / about.name)
        for file, expected in manifest.files.items():
            if (target / file).stat().st_size != expected.bytes:
                raise CheckpointGone(f"checkpoint {name} is not kept: its {file} is not whole")
    except (OSError, ValidationError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise CheckpointGone(f"checkpoint {name} is not kept: {first_line(error)}") from None
    except CheckpointGone:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def _free_folder(parent: Path, name: str) -> Path:
    """A new folder of this name, or of the first one like it that is free."""
    for place in chain([name], (f"{name}-{number}" for number in count(2))):
        with contextlib.suppress(FileExistsError):
            (parent / place).mkdir(parents=True)
            break
    return parent / place


def _link_or_copy(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
