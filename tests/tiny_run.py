"""A run of a few steps on a tiny model, for tests of the session in this process."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

import midcourse
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import CommandDone, LogRecord, StatusChanged
from midcourse.runlog import RunLogReader
from midcourse.session import Session

STEPS_PER_EPOCH = 5


def command(seq: int, kind: str, run: str = "r1", **fields: Any) -> Command:
    return Command.model_validate(
        {
            "run": run,
            "seq": seq,
            "actor": "ada",
            "accepted_at": utc_now(),
            "action": {"kind": kind, **fields},
        }
    )


def start(home: Path, **options: Any) -> Session:
    return midcourse.start(
        "tiny", home=home, **{"run_id": "r1", "checkpoint_every": None} | options
    )


def set_up(run: Session, **more: Any) -> Callable[[], torch.Tensor]:
    """Track a model, its optimizer and what else is given; returns the work of one step."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.track(model=model, optimizer=optimizer, **more)

    def work() -> torch.Tensor:
        loss: torch.Tensor = model(torch.ones(4, 2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return work


def train(
    home: Path,
    *,
    commands: dict[int, Iterable[Command]] | None = None,
    epochs: int = 2,
    each: Callable[[Session], None] | None = None,
    prepare: Callable[[Session], None] | None = None,
    **options: Any,
) -> Session:
    """Train `epochs` of five steps; commands are posted before the boundaries of their steps."""
    with start(home, **options) as run:
        work = set_up(run)
        if prepare is not None:
            prepare(run)
        for _ in run.batches(torch.arange(20), batch_size=4, epochs=epochs):
            run.log({"loss": work()})
            for posted in (commands or {}).get(run.current_step, ()):
                run.boundary.mailbox.post(posted)
            if each is not None:
                each(run)
            run.step()
        return run


def records(home: Path, run_id: str = "r1") -> list[LogRecord]:
    found: list[LogRecord] = []
    reader = RunLogReader(RunPaths(home, run_id).run_log)
    while batch := reader.read():
        found += batch
    return found


def receipts(home: Path, run_id: str = "r1") -> dict[int, Any]:
    return {
        record.receipt.seq: record.receipt
        for record in records(home, run_id)
        if isinstance(record, CommandDone)
    }


def statuses(home: Path, run_id: str = "r1") -> list[str]:
    return [
        record.status.value for record in records(home, run_id) if isinstance(record, StatusChanged)
    ]
