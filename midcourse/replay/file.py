"""Reading a journal file: all of it is checked before anything begins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput, faults_of
from midcourse.contract.journal_file import (
    JOURNAL_FORMAT,
    ActedCommand,
    JournalHeader,
    differences,
)
from midcourse.contract.runs import RunFile

_MOST_FAULTS = 20
_OF_A_RUN = ("intent", "outcome", "scheduled", "refusal")


@dataclass(frozen=True)
class JournalFile:
    """A journal, checked, and where it was found."""

    source: str
    """As people named it: a file, a run's id, a W&B artifact."""
    header: JournalHeader
    commands: list[ActedCommand]
    lines: list[str]
    """As they were read, for a copy."""

    def mismatches(self, wanted: RunFile) -> list[Fault]:
        """What keeps a run from replaying this: a fault each."""
        header, faults = self.header, []
        if header.not_replayable is not None:
            faults.append(
                Fault(
                    path="replay",
                    message=f"the way of run {header.run} cannot be replayed in one line: "
                    f"{header.not_replayable}. Replay run {header.line[0]} instead, or fork",
                )
            )
        said: dict[str, Any] = wanted.model_dump(mode="json", include={*_MUST_AGREE})
        recorded = header.model_dump(mode="json", include={*_MUST_AGREE})
        for field in _MUST_AGREE:
            for path, message in differences(said[field], recorded[field], field):
                faults.append(Fault(path=path, message=f"{message} of run {header.line[0]}"))
        return faults


_MUST_AGREE = ("experiment", "seed", "config")


def read_journal_file(path: Path, source: str | None = None) -> JournalFile:
    """Read and check a journal file.

    Args:
        path: the file.
        source: what people call it; else its path.

    Raises:
        InvalidInput: it cannot be read, is none, or is damaged; with a fault for every bad line.
    """
    name = source or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise _refused(f"{path} is no journal: it is no text") from None
    # Not splitlines(), which also splits at characters that JSON leaves as they are.
    return parse_journal(text.removesuffix("\n").split("\n") if text else [], name)


def parse_journal(lines: list[str], source: str) -> JournalFile:
    """Check the lines of a journal file.

    Raises:
        InvalidInput: with a fault for every bad line, up to twenty.
    """
    if not lines:
        raise _refused(f"{source} is no journal: it is empty")
    header = _parse_header(lines[0], source)
    faults: list[Fault] = []
    commands: list[ActedCommand] = []
    reached = -1
    for number, line in enumerate(lines[1:], start=2):
        where = f"line {number} of {source}"
        try:
            command = ActedCommand.model_validate(strict_json_loads(line))
        except ValidationError as error:
            faults += faults_of(error, prefix=where)
            continue
        except ValueError as error:
            faults.append(Fault(path=where, message=f"is damaged: {error}"))
            continue
        if command.step < reached:
            message = f"acted at step {command.step}, after one that acted at step {reached}"
            faults.append(Fault(path=where, message=f"{message}; lines stand in order of steps"))
        reached = max(reached, command.step)
        commands.append(command)
    if faults:
        raise InvalidInput(faults[:_MOST_FAULTS])
    return JournalFile(source, header, commands, lines)


def _parse_header(line: str, source: str) -> JournalHeader:
    try:
        raw = strict_json_loads(line)
    except ValueError as error:
        raise _refused(f"{source} is no journal: its first line is no JSON ({error})") from None
    kind = raw.get("type") if isinstance(raw, dict) else None
    if kind in _OF_A_RUN:
        raise _refused(
            f"{source} is the journal that a run keeps for itself, which does not say how the run "
            "began; give the run's id, or a file from `python -m midcourse.replay export`"
        )
    if kind != "journal":
        raise _refused(f"{source} is no journal: its first line is no journal's header")
    if raw.get("format") != JOURNAL_FORMAT:
        raise _refused(
            f"{source} has the format {raw.get('format')!r}; this version of Midcourse reads "
            f"format {JOURNAL_FORMAT}"
        )
    try:
        return JournalHeader.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(faults_of(error, prefix=f"line 1 of {source}")) from None


def _refused(message: str) -> InvalidInput:
    return InvalidInput([Fault(path="replay", message=message)])
