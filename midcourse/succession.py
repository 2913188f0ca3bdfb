"""From a run to its successor by revert, and what a crash kept the first from saying."""

import os
from pathlib import Path

from midcourse.branch import hold, read_run_file
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Revert, Undo
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import CommandDone, StatusChanged
from midcourse.contract.runs import RunFile, RunStatus
from midcourse.errors import RunEnded
from midcourse.fence import take_over
from midcourse.journal import Journal
from midcourse.runlog import RunLogReader, RunLogWriter


def successor_of(home: Path, wanted: RunFile, attempt: int = 0) -> tuple[RunFile, list[RunPaths]]:
    """The run that goes on under the wanted one's id or, after reverts, in its place.

    Args:
        home: the folder of all runs.
        wanted: what should go on.
        attempt: which start of it this is; 0 where nobody counts.

    Returns:
        That run, and the superseded ones on the way, whose logs have their last word by now.

    Raises:
        PlaceLost: a later attempt has one of them.
        RunEnded: one of them was trained elsewhere.
    """
    superseded: list[RunPaths] = []
    seen = {wanted.id}
    while True:
        paths = RunPaths(home, wanted.id)
        if paths.imported.exists():
            raise RunEnded(
                f"run {wanted.id} was trained elsewhere, and here are only checkpoints of it, "
                "fetched from W&B; fork it to go on from one of them"
            )
        journal = Journal(paths.journal)
        successor = journal.successor()
        if successor is None or successor in seen:
            return wanted, superseded
        _say_last_word(paths, journal, attempt)
        superseded.append(paths)
        seen.add(successor)
        wanted = read_run_file(RunPaths(home, successor).run_file)


def _say_last_word(paths: RunPaths, journal: Journal, attempt: int) -> None:
    """Log the revert's receipt and the end, unless they are there."""
    lock = hold(paths.lock, paths.folder.name)
    try:
        fence = take_over(paths, attempt)
        reader = RunLogReader(paths.run_log)
        while records := reader.read():
            if any(
                isinstance(record, StatusChanged) and record.status is RunStatus.SUPERSEDED
                for record in records
            ):
                return
        log = RunLogWriter(paths.run_log, fence)
        for command, receipt in journal.concluded():
            went_back = isinstance(command.action, Revert | Undo)
            if went_back and receipt.state is CommandState.APPLIED:
                log.append(CommandDone(at=utc_now(), command=command, receipt=receipt))
                log.append(superseded_record(receipt.step, str(receipt.after["checkpoint"])))
        log.close()
    finally:
        os.close(lock)


def superseded_record(step: int | None, checkpoint: str) -> StatusChanged:
    """The end of a run that was reverted.

    Args:
        step: the last step that it completed; -1 where there was none.
        checkpoint: what it was reverted to.
    """
    return StatusChanged(
        at=utc_now(),
        status=RunStatus.SUPERSEDED,
        step=None if step is None or step < 0 else step,
        reason=f"reverted to {checkpoint}",
    )
