"""Export: the journal of a run as a file's lines, its ancestors' commands included."""

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from midcourse.contract.base import Record, utc_now
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.commands import CHANGING, Fork, SetParameters, Stop
from midcourse.contract.journal import Intent
from midcourse.contract.journal_file import ActedCommand, JournalHeader
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import Receipt
from midcourse.contract.records import Started, StatusChanged, parse_record
from midcourse.contract.runs import RunStatus
from midcourse.replay.lineage import Stretch, trace
from midcourse.replay.states import hash_without_source, newest_manifest

_METRICS = b'{"type":"metrics"'
_TRAINING = (RunStatus.QUEUED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED)


def export_journal(home: Path, run_id: str) -> list[str]:
    """The journal of a run as it stands, a line each, the header first; changes nothing.

    Raises:
        JournalUnusable: the run or an ancestor is missing or damaged; says which.
    """
    way = trace(home, run_id)
    records: list[Record] = [_header(way)]
    for stretch in way:
        records += (_acted(stretch, intent, receipt) for intent, receipt in _on_the_way(stretch))
    return [record.to_json() for record in records]


def _on_the_way(stretch: Stretch) -> Iterable[tuple[Intent, Receipt | None]]:
    for intent, receipt in stretch.acted():
        # Who forked the checkpoint of a stop went on from there.
        if stretch.fork is None or not isinstance(intent.command.action, Stop):
            yield intent, receipt


def _acted(stretch: Stretch, intent: Intent, receipt: Receipt | None) -> ActedCommand:
    command = intent.command
    action: Any = command.action
    if isinstance(action, Fork) and action.changes:
        action = SetParameters(changes=action.changes)
    told: dict[str, Any] = {}
    if receipt is not None:
        told = {"before": receipt.before, "after": receipt.after, "details": receipt.details}
    return ActedCommand(
        run=stretch.run_file.id,
        seq=command.seq,
        actor=command.actor,
        time=intent.at,
        step=intent.step,
        action=action,
        reason=command.reason,
        **told,
    )


def _header(way: Sequence[Stretch]) -> JournalHeader:
    first, last = way[0].run_file, way[-1]
    status, last_step = _end(last.paths)
    newest = newest_manifest(last.paths)
    ends = [(stretch.paths, stretch.fork) for stretch in way if stretch.fork is not None]
    known: Manifest | None = newest or (ends[-1][1] if ends else None)
    changes = [i.position for i, _ in last.acted() if isinstance(i.command.action, CHANGING)]
    changed = max(changes, default=0)
    state_hash, policies = None, False
    if newest is not None:
        state_hash, policies = hash_without_source(last.paths, newest)
        in_order = status in (RunStatus.FINISHED, RunStatus.STOPPED)
        at_the_end = newest.checkpoint.step == last_step and newest.journal_position >= changed
        state_hash = state_hash if in_order and at_the_end else None
    return JournalHeader(
        run=last.run_file.id,
        line=[stretch.run_file.id for stretch in way],
        experiment=first.experiment,
        seed=first.seed,
        config=first.config,
        exported_at=utc_now(),
        status=status,
        last_step=last_step,
        state_hash=state_hash,
        successor=last.journal.successor(),
        policies=policies or any(hash_without_source(*end)[1] for end in ends),
        not_replayable=_obstacle(way),
        versions={} if known is None else known.versions,
    )


def _obstacle(way: Sequence[Stretch]) -> str | None:
    """Why one program cannot take this way; None if it can."""
    for parent, child in pairwise(way):
        run, origin = child.run_file, child.run_file.origin
        assert origin is not None
        began = f"run {run.id} began at {origin.checkpoint} of run {parent.run_file.id}"
        if origin.warm_start:
            return f"{began} with an edited model, and one program has one model"
        if run.seed != parent.run_file.seed:
            return f"{began} with another seed ({run.seed}, not {parent.run_file.seed})"
        if run.config != parent.run_file.config:
            return f"{began} with another configuration"
    return None


def _end(paths: RunPaths) -> tuple[RunStatus | None, int | None]:
    """How a run ended, and its last step then, by its log; None, None while it trains."""
    status: RunStatus | None = None
    step: int | None = None
    if not paths.run_log.exists():
        return None, None
    with paths.run_log.open("rb") as log:
        for line in log:
            if line.startswith(_METRICS) or not line.endswith(b"\n"):
                continue  # nearly all lines; and the end of a log that is just being written
            try:
                record = parse_record(line)
            except ValueError:  # told by whoever follows the log; it is no end
                continue
            match record:
                case Started():
                    status, step = None, None
                case StatusChanged():
                    trains = record.status in _TRAINING
                    status, step = (None, None) if trains else (record.status, record.step)
    return status, step


def write_journal(lines: Iterable[str], path: Path) -> None:
    """Put a journal's lines in a file, all of them or none.

    Raises:
        OSError: the disk would not take it; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
