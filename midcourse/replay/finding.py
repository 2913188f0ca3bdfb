"""Getting the journal to be replayed from where it is: a run, a file, or W&B."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.journal_file import ARTIFACT_FILE
from midcourse.contract.names import RUN_ID_PATTERN
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunFile
from midcourse.errors import JournalUnusable
from midcourse.replay.export import export_journal
from midcourse.replay.file import JournalFile, parse_journal, read_journal_file
from midcourse.tracking.supervisor import tracker_environment

WANDB: Final = "wandb:"
DOWNLOAD_SECONDS = 120.0
"""How long W&B may take to hand over a journal."""


def find_journal(source: Path | str, home: Path, run_id: str | None = None) -> JournalFile:
    """The journal that a name stands for.

    Args:
        source: a run's id, a file, or `wandb:[entity/project/]journal-<run>[:alias]`.
        home: the folder of all runs.
        run_id: the run that replays it. One that has begun has a copy, and the source is not asked.

    Raises:
        InvalidInput: there is none, or it cannot be used; with every fault.
    """
    name = str(source)
    if run_id is not None and re.fullmatch(RUN_ID_PATTERN, run_id):
        paths = RunPaths(home, run_id)
        begun = paths.run_file.exists() and paths.replay.exists()
        if begun and recorded_source(paths) == name:
            return read_journal_file(paths.replay, name)
    if name.startswith(WANDB):
        return _download(name)
    if re.fullmatch(RUN_ID_PATTERN, name) and RunPaths(home, name).run_file.exists():
        try:
            return parse_journal(export_journal(home, name), name)
        except JournalUnusable as error:
            raise _refused(str(error)) from error
    if not Path(source).is_file():
        raise _refused(
            f"there is neither a file {name} nor a run of this id in {home}; a journal of W&B is "
            f"named {WANDB}[entity/project/]journal-<run id>"
        )
    return read_journal_file(Path(source), name)


def recorded_source(paths: RunPaths) -> str | None:
    """What a run that has begun replays, as its run file says; None for one that is no replay.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        return RunFile.model_validate(strict_json_loads(paths.run_file.read_bytes())).replay
    except (OSError, ValueError) as error:
        message = f"is damaged: {error}"
        raise InvalidInput([Fault(path=str(paths.run_file), message=message)]) from error


def _download(source: str) -> JournalFile:
    """Have a process of its own ask W&B: this one trains, and never loads the SDK."""
    artifact = source.removeprefix(WANDB)
    with tempfile.TemporaryDirectory(prefix="midcourse-replay-") as folder:
        command = [sys.executable, "-P", "-m", "midcourse.tracking.download", artifact, folder]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=DOWNLOAD_SECONDS,
                env=tracker_environment(),
            )
        except subprocess.TimeoutExpired:
            raise _refused(
                f"W&B did not hand over {artifact} within {DOWNLOAD_SECONDS:g} seconds; try again, "
                "or export the journal to a file"
            ) from None
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise _refused(f"{artifact} cannot be had from W&B: {said[-1]}")
        return read_journal_file(Path(folder) / ARTIFACT_FILE, source)


def _refused(message: str) -> InvalidInput:
    return InvalidInput([Fault(path="replay", message=message)])
