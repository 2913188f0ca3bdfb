"""Putting a checkpoint from elsewhere where a fork looks for it: in the folder of its run.

A run that was never here gets a folder with its run file, its journal and a note of where they came
from. Of one that was trained here only a checkpoint is taken back that its own log knows.
"""

import os
from pathlib import Path

from midcourse.checkpoints.writer import MANIFEST_FILE, sync
from midcourse.contract.base import strict_json_loads
from midcourse.contract.checkpoints import CheckpointRecord, Manifest
from midcourse.contract.imported import JOURNAL_FILE, RUN_FILE, ImportedRun
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import CheckpointWritten
from midcourse.contract.runs import RunFile
from midcourse.runlog import RunLogReader
from midcourse.tracking.arriving import Refused


def find_same(paths: RunPaths, manifest: Manifest) -> Manifest | None:
    """The same checkpoint, if it is in the home already.

    Raises:
        Refused: another one of its name is.
    """
    wanted = manifest.checkpoint
    try:
        text = (paths.checkpoint(wanted.name) / MANIFEST_FILE).read_bytes()
        there = Manifest.model_validate(strict_json_loads(text))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Refused(
            f"a checkpoint {wanted.name} of run {wanted.run} is in {paths.folder} already, and its "
            f"manifest cannot be read: {str(error).splitlines()[0]}"
        ) from None
    found = there.checkpoint
    if found.state_hash != wanted.state_hash:
        raise Refused(
            f"another checkpoint {wanted.name} of run {wanted.run} is in {paths.folder} already: "
            f"its state hash is {found.state_hash[:12]}…, not {wanted.state_hash[:12]}…"
        )
    return there


def check_same_run(paths: RunPaths, run_file: RunFile, record: CheckpointRecord) -> None:
    """See that a run of this id that is here already is the same one, and knows the checkpoint.

    Raises:
        Refused: saying what differs.
    """
    if not paths.run_file.exists():
        return
    try:
        known = RunFile.model_validate(strict_json_loads(paths.run_file.read_bytes()))
    except (OSError, ValueError) as error:
        raise Refused(f"{paths.run_file} cannot be read: {str(error).splitlines()[0]}") from None
    if differs := [name for name in RunFile.model_fields if _differ(known, run_file, name)]:
        raise Refused(
            f"another run of the id {run_file.id} is in {paths.folder} already: they differ in "
            f"{', '.join(differs)}"
        )
    is_own = paths.run_log.exists() and not paths.imported.exists()
    if is_own and not _log_knows(paths, record):
        raise Refused(
            f"run {record.run} was trained here, and its log knows no checkpoint {record.name} "
            f"with the state hash {record.state_hash[:12]}…"
        )


def put_in_place(staged: Path, paths: RunPaths, record: CheckpointRecord) -> None:
    """Move a verified checkpoint to its place, all or nothing, with what belongs to its run.

    Args:
        staged: a folder with the artifact's files, on the disk of the home.
        paths: of the run that the checkpoint is of.
        record: of the checkpoint.

    Raises:
        OSError: the disk would not take it.
    """
    was_imported = paths.imported.exists() or not paths.run_file.exists()
    paths.checkpoints.mkdir(parents=True, exist_ok=True)
    if was_imported:
        _take_over(staged / RUN_FILE, paths.run_file)
        _take_over(staged / JOURNAL_FILE, paths.journal)
    for extra in (RUN_FILE, JOURNAL_FILE):
        (staged / extra).unlink(missing_ok=True)
    for file in (*staged.iterdir(), staged):
        sync(file)
    staged.rename(paths.checkpoint(record.name))
    sync(paths.checkpoints)


def note_origin(paths: RunPaths, name: str, artifact: str, server: str) -> None:
    """Write down, for a run that was not trained here, which artifact a checkpoint came as."""
    if paths.run_log.exists() and not paths.imported.exists():
        return
    run = paths.folder.name
    try:
        known = ImportedRun.model_validate(strict_json_loads(paths.imported.read_bytes()))
    except (OSError, ValueError):
        known = ImportedRun(run=run, server=server)
    noted = known.model_copy(update={"artifacts": {**known.artifacts, name: artifact}})
    if noted != known:
        paths.folder.mkdir(parents=True, exist_ok=True)
        _write(paths.imported, noted.to_json().encode() + b"\n")


def _differ(known: RunFile, fetched: RunFile, name: str) -> bool:
    return bool(getattr(known, name) != getattr(fetched, name))


def _log_knows(paths: RunPaths, wanted: CheckpointRecord) -> bool:
    reader = RunLogReader(paths.run_log)
    while records := reader.read():
        for record in records:
            if isinstance(record, CheckpointWritten) and (
                (record.checkpoint.name, record.checkpoint.state_hash)
                == (wanted.name, wanted.state_hash)
            ):
                return True
    return False


def _take_over(fetched: Path, place: Path) -> None:
    """Take a file, unless what is there says as much; a journal only grows."""
    try:
        text = fetched.read_bytes()
    except FileNotFoundError:
        return
    known = place.read_bytes() if place.exists() else b""
    if len(text) > len(known) and text.startswith(known):
        _write(place, text)


def _write(place: Path, text: bytes) -> None:
    temporary = place.with_name(f"{place.name}.new")
    with temporary.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(place)
    sync(place.parent)
