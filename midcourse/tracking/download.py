"""`python -m midcourse.tracking.download ARTIFACT FOLDER`: fetch a run's journal from W&B.

A process of its own, started by a replay: the training process never loads the SDK.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from midcourse.contract.journal_file import ARTIFACT_FILE, ARTIFACT_PREFIX, ARTIFACT_TYPE
from midcourse.tracking.settings import TrackingSettings

REQUEST_SECONDS = 30
"""How long one request may take."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Download one artifact; 0, or 1 with a sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m midcourse.tracking.download", description=__doc__
    )
    parser.add_argument("artifact", help="[entity/project/]journal-<run id>[:alias]")
    parser.add_argument("folder", type=Path, help="where the file goes")
    options = parser.parse_args(arguments)
    settings = TrackingSettings.read()
    try:
        download(full_name(options.artifact, settings), options.folder, settings)
    except Exception as error:  # the SDK raises many kinds
        said = str(error).strip().splitlines() or [type(error).__name__]
        sys.stderr.write(settings.redact(said[0]) + "\n")
        return 1
    return 0


def full_name(artifact: str, settings: TrackingSettings) -> str:
    """The name as W&B wants it, with what was left out.

    Raises:
        ValueError: it names no journal.
    """
    *place, name = artifact.split("/")
    collection, _, alias = name.partition(":")
    if not collection.startswith(ARTIFACT_PREFIX) or len(place) not in (0, 1, 2) or not all(place):
        raise ValueError(
            f"{artifact!r} names no journal; it must be "
            f"[entity/project/]{ARTIFACT_PREFIX}<run id>[:alias]"
        )
    if not place:
        place = [settings.project]
    if len(place) == 1 and settings.entity:
        place = [settings.entity, *place]
    return "/".join([*place, f"{collection}:{alias or 'latest'}"])


def download(name: str, folder: Path, settings: TrackingSettings) -> None:
    """Fetch an artifact's journal into a folder.

    Raises:
        Exception: as the SDK says it.
    """
    if settings.api_key is None:
        raise ValueError("there is no WANDB_API_KEY; export the journal to a file instead")
    settings.apply(os.environ, folder.resolve())
    import wandb  # after the environment, which it reads

    api = wandb.Api(api_key=settings.api_key, timeout=REQUEST_SECONDS)
    artifact = api.artifact(name, type=ARTIFACT_TYPE)
    artifact.download(root=str(folder), skip_cache=True)
    if not (folder / ARTIFACT_FILE).is_file():
        raise ValueError(f"the artifact {name} holds no {ARTIFACT_FILE}")


if __name__ == "__main__":
    sys.exit(main())
