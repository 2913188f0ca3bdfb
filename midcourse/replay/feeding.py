"""Making a run a replay: its source is found, checked against what is to be run, and copied."""

from pathlib import Path

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunFile
from midcourse.replay.export import write_journal
from midcourse.replay.file import JournalFile, read_journal_file
from midcourse.replay.finding import find_journal, recorded_source
from midcourse.replay.replay import Replay


def feed(
    wanted: RunFile, asked: JournalFile | Path | str | None, home: Path
) -> tuple[RunFile, Replay | None]:
    """See whether a run is a replay, and what feeds it.

    Args:
        wanted: what the run is to be.
        asked: the journal it is to replay, or where that is; None: whatever the run began with.
        home: the folder of all runs.

    Returns:
        What the run is to be, with what it replays; and the replay, None for a run that is none,
        or that a revert made of one.

    Raises:
        InvalidInput: the journal is not there, is damaged, or is that of another training; with
            every fault.
    """
    paths = RunPaths(home, wanted.id)
    name = asked.source if isinstance(asked, JournalFile) else None if asked is None else str(asked)
    if paths.run_file.exists():
        return _go_on(wanted, name, paths)
    if asked is None or name is None:
        return wanted, None
    wanted = wanted.model_copy(update={"replay": name})
    if wanted.origin is not None:
        if wanted.origin.revert:
            return wanted, None
        message = f"a replay begins at step 0, and this run is a fork of {wanted.origin.run}"
        raise InvalidInput([Fault(path="replay", message=message)])
    journal = asked if isinstance(asked, JournalFile) else find_journal(asked, home)
    faults = journal.mismatches(wanted)
    if faults:
        raise InvalidInput(faults)
    write_journal(journal.lines, paths.replay)
    return wanted, Replay(journal, wanted.id)


def _go_on(wanted: RunFile, name: str | None, paths: RunPaths) -> tuple[RunFile, Replay | None]:
    """A run that has begun is what it began as; its copy of the journal feeds it."""
    source = recorded_source(paths)
    if name is not None and name != source:
        began = "as no replay" if source is None else f"as a replay of {source}"
        message = f"is {name}, but run {wanted.id} began {began}; start a new run"
        raise InvalidInput([Fault(path="replay", message=message)])
    wanted = wanted.model_copy(update={"replay": source})
    if source is None or (not paths.replay.exists() and _came_of_a_revert(paths)):
        return wanted, None
    return wanted, Replay(read_journal_file(paths.replay, source), wanted.id)


def _came_of_a_revert(paths: RunPaths) -> bool:
    found = RunFile.model_validate_json(paths.run_file.read_bytes())
    return found.origin is not None and found.origin.revert
