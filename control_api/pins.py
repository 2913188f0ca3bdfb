"""Pins: files in a checkpoint's folder that say who keeps it, against the trainer's retention.

Retention renames a checkpoint's folder away, looks for pins, and renames it back if there are any.
So whoever pins must look afterwards whether the checkpoint is still at its place.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control_api.problems import CheckpointGone
from midcourse.contract.paths import RunPaths

TRIES = 20
PAUSE_SECONDS = 0.05


def pin(home: Path, run_id: str, checkpoint: str, keeper: str) -> None:
    """Keep a checkpoint of a run in the name of `keeper`; pinning twice is pinning once.

    Raises:
        CheckpointGone: there is no such checkpoint any more.
    """
    paths = RunPaths(home, run_id)
    folder = paths.pins(checkpoint)
    manifest = paths.checkpoint(checkpoint) / "manifest.json"
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS)  # it may be looked through for pins just now
        try:
            folder.mkdir(exist_ok=True)
            (folder / keeper).touch()
        except FileNotFoundError:
            continue
        if (folder / keeper).exists() and manifest.exists():
            return
    raise CheckpointGone(f"Checkpoint {checkpoint} of run {run_id} has been deleted meanwhile.")


@contextmanager
def pinned(home: Path, run_id: str, checkpoint: str, keeper: str) -> Iterator[None]:
    """Pin a checkpoint for what the block makes; if that fails, the pin is taken out again.

    Raises:
        CheckpointGone: there is no such checkpoint any more.
    """
    pin(home, run_id, checkpoint, keeper)
    try:
        yield
    except BaseException:
        unpin(home, run_id, checkpoint, keeper)
        raise


def unpin(home: Path, run_id: str, checkpoint: str, keeper: str) -> None:
    """Keep it no longer; nothing happens where there is no such pin."""
    (RunPaths(home, run_id).pins(checkpoint) / keeper).unlink(missing_ok=True)
