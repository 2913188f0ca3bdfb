"""Runs that were trained elsewhere, and of which a checkpoint was fetched from W&B."""

from typing import Final

from pydantic import Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.names import CheckpointName, RunId
from midcourse.contract.runs import RunFile

RUN_FILE: Final = "run.json"
JOURNAL_FILE: Final = "journal.jsonl"
"""Files of a checkpoint's artifact beside the checkpoint's own: what its run is, and what was
commanded. A fork on another machine, and a replay of that, read them."""
MAY_PASS: Final = 75
"""Exit code of a fetch that may succeed when it is tried again (`EX_TEMPFAIL` of sysexits.h)."""


class ImportedRun(Record):
    """`imported.json`: this run was trained elsewhere, and here are checkpoints of it alone."""

    format: int = 1
    run: RunId
    server: str
    """Of W&B: `WANDB_BASE_URL`."""
    artifacts: dict[CheckpointName, str] = Field(default_factory=dict)
    """Checkpoint → the artifact's version that it came as: `entity/project/run-checkpoint:v3`."""


class FetchedCheckpoint(Record):
    """What a fetch says when the checkpoint is there: one line of JSON."""

    run_file: RunFile
    """What the run is that it is a checkpoint of."""
    checkpoint: CheckpointRecord
    parameters: dict[str, JsonValue]
    """The live parameters when it was taken."""
    artifact: str
    """The version that was meant: `entity/project/run-checkpoint:v3`."""
    server: str
