"""Run logs as a trainer would write them, for the tests of what reads them."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from midcourse.contract.base import Record, Scalar
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.checkpoints import (
    CheckpointReason,
    CheckpointRecord,
    Manifest,
    ManifestFile,
)
from midcourse.contract.commands import Command, SetParameters
from midcourse.contract.names import checkpoint_name
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import (
    CheckpointWritten,
    CommandDone,
    MediaLogged,
    Metrics,
    Started,
    StatusChanged,
)
from midcourse.contract.runs import Origin, RunFile, RunStatus
from midcourse.runlog import RunLogWriter

RUN = "r2345678x"
BEGIN = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
BEGIN_SECONDS = BEGIN.timestamp()


def moment(step: int) -> datetime:
    """A time that grows with the step, so that no test reads the clock."""
    return BEGIN + timedelta(seconds=step)


def started(
    next_step: int = 0,
    attempt: int = 1,
    *,
    origin: Origin | None = None,
    config: dict[str, Any] | None = None,
    **values: Any,
) -> Started:
    values = values or {"optimizer.lr": 0.1, "model.dropout": 0.5}
    return Started(
        at=moment(next_step),
        attempt=attempt,
        run=RunFile(
            id=RUN,
            experiment="digits",
            seed=7,
            config=config if config is not None else {"optimizer": {"name": "sgd", "lr": 0.1}},
            origin=origin,
        ),
        next_step=next_step,
        total_steps=100,
        parameters=[BUILT_IN[name] for name in values if name in BUILT_IN],
        values=dict(values),
    )


def put_run(paths: RunPaths) -> None:
    """The run file that such a run has, as `started` tells it."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    paths.run_file.write_text(started().run.to_json())


def metrics(step: int, **values: Any) -> Metrics:
    """`metrics(3, train__loss=1.0)` logs `train/loss`."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return Metrics(time=BEGIN_SECONDS + step, step=step, values=named)


def media(step: int, name: str, item: Any) -> MediaLogged:
    return MediaLogged(at=moment(step), step=step, name=name, media=item)


def lr_set(
    seq: int,
    step: int | None,
    before: float,
    after: float | None,
    *,
    state: CommandState = CommandState.APPLIED,
    reason: str | None = None,
    asked: Scalar | None = None,
) -> CommandDone:
    value: Scalar = asked if asked is not None else after if after is not None else 0.0
    return done(
        seq,
        step,
        SetParameters(changes={"optimizer.lr": value}),
        before={"optimizer.lr": before},
        after={} if after is None else {"optimizer.lr": after},
        state=state,
        reason=reason,
    )


def done(
    seq: int,
    step: int | None,
    action: Any,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    state: CommandState = CommandState.APPLIED,
    reason: str | None = None,
    details: dict[str, Any] | None = None,
    dry_run: bool = False,
) -> CommandDone:
    at = moment(step or 0)
    return CommandDone(
        at=at,
        command=Command(
            run=RUN,
            seq=seq,
            actor="ada",
            accepted_at=at,
            action=action,
            reason="it diverges",
            dry_run=dry_run,
        ),
        receipt=Receipt(
            run=RUN,
            seq=seq,
            state=state,
            step=step,
            before=before or {},
            after=after or {},
            details=details or {},
            reason=reason,
            at=at,
        ),
    )


def status(state: RunStatus, step: int | None, **summary: Any) -> StatusChanged:
    return StatusChanged(at=moment(step or 0), status=state, step=step, summary=summary)


def checkpoint(
    step: int,
    *,
    best: bool = False,
    reason: CheckpointReason = CheckpointReason.SCHEDULE,
    size: int = 5,
) -> CheckpointWritten:
    record = CheckpointRecord(
        run=RUN,
        name=checkpoint_name(step),
        step=step,
        reason=reason,
        state_hash=hashlib.sha256(str(step).encode()).hexdigest(),
        bytes=size,
        created_at=moment(max(step, 0)),
        metrics={"test/accuracy": 0.5},
        best=best,
    )
    return CheckpointWritten(at=moment(max(step, 0)), checkpoint=record)


def put_checkpoint(paths: RunPaths, written: CheckpointWritten) -> Path:
    """The folder that such a record speaks of."""
    record = written.checkpoint
    folder = paths.checkpoint(record.name)
    folder.mkdir(parents=True)
    content = str(record.step).encode().ljust(record.bytes, b".")
    (folder / "state.safetensors").write_bytes(content)
    file = ManifestFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    manifest = Manifest(
        checkpoint=record,
        attempt=1,
        journal_position=0,
        edits=0,
        cursor={},
        parameters={},
        versions={},
        files={"state.safetensors": file},
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


def write(paths: RunPaths, *records: Record) -> int:
    """Append to a run's log; its size after."""
    log = RunLogWriter(paths.run_log)
    log.append(*records)
    log.close()
    return log.size
