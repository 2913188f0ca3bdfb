"""Midcourse's files as W&B artifacts: checkpoints, the journal, the data set."""

import re
from pathlib import Path
from typing import Any, Final

import wandb

from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.datasets import Dataset
from midcourse.contract.journal_file import (
    ARTIFACT_FILE,
    ARTIFACT_PREFIX,
    ARTIFACT_TYPE,
    JournalHeader,
)
from midcourse.tracking.wandb_remote import checkpoint_artifact, lifetime

DATASET_TYPE: Final = "dataset"


def checkpoint(record: CheckpointRecord, folder: Path, days: float | None) -> Any:
    """A checkpoint as a version of its run's artifact, without a copy of its files.

    Args:
        record: What it is; the artifact's metadata.
        folder: With its files, which stay as they are.
        days: How long W&B is to keep it; None: until our own retention lets go of it, whatever
            the team's default.
    """
    metadata = record.model_dump(mode="json", exclude={"bytes"})
    artifact = wandb.Artifact(checkpoint_artifact(record.run), type="model", metadata=metadata)
    artifact.ttl = lifetime(days)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        _add(artifact, file, file.relative_to(folder).as_posix())
    return artifact


def journal(header: JournalHeader, file: Path) -> Any:
    """A run's exported journal."""
    about = header.model_dump(mode="json", include={"line", "status", "last_step", "state_hash"})
    artifact = wandb.Artifact(f"{ARTIFACT_PREFIX}{header.run}", type=ARTIFACT_TYPE, metadata=about)
    _add(artifact, file, ARTIFACT_FILE)
    return artifact


def dataset(found: Dataset) -> Any:
    """What a run trains on, described: the same data is the same version for all runs."""
    artifact = wandb.Artifact(
        dataset_name(found), type=DATASET_TYPE, metadata=found.model_dump(mode="json")
    )
    with artifact.new_file("dataset.json") as file:
        file.write(found.to_json() + "\n")
    return artifact


def dataset_name(found: Dataset) -> str:
    """The artifact of a data set: W&B's names are letters, digits, dots, dashes, underscores."""
    return "dataset-" + re.sub(r"[^A-Za-z0-9._-]+", "-", found.name)[:100]


def _add(artifact: Any, file: Path, name: str) -> None:
    artifact.add_file(str(file.resolve()), name=name, policy="immutable", skip_cache=True)
