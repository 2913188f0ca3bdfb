"""One run on disk, held by this process: its lock, run file, journal, log, checkpoints, tracker."""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from midcourse.checkpoints.store import CheckpointStore
from midcourse.checkpoints.writing import WriterProcess
from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import BEFORE_FIRST_STEP, checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import Receipt
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointWritten,
    CommandDone,
    Metrics,
    StatusChanged,
)
from midcourse.contract.runs import RunFile, RunStatus
from midcourse.errors import CheckpointUnusable, RunBusy, RunEnded
from midcourse.fence import take_over
from midcourse.journal import Journal
from midcourse.recorder import Recorder
from midcourse.runlog import RunLogReader, RunLogWriter
from midcourse.stop_wish import StopWish
from midcourse.tracking.supervisor import TrackerProcess

LOCK_SECONDS = 20.0
"""How long to wait for the checkpoint writer of a killed predecessor to finish."""


class Branch:
    """Everything on disk that belongs to one run. One process at a time holds it."""

    def __init__(
        self,
        home: Path,
        wanted: RunFile,
        *,
        attempt: int = 0,
        nudge: Callable[[], None],
        on_lost: Callable[[], None] = lambda: None,
        on_wish: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin a run, or take up one that has begun.

        Args:
            home: the folder of all runs.
            wanted: what the run should be; a run that has begun must be the same.
            attempt: which start of the run this is; 0 where nobody counts.
            nudge: called when the run log has grown.
            on_lost: called when a later attempt turns out to have the run; on any thread.
            on_wish: called when somebody wishes the run to stop, where it is shown; on any thread.

        Raises:
            RunBusy: another process holds it.
            PlaceLost: a later attempt has it.
            RunEnded: it has ended for good.
            InvalidInput: it has begun as something else.
            JournalUnusable: its journal is damaged.
            OSError: its folder cannot be written.
        """
        self._on_lost = on_lost
        self._on_wish = on_wish
        self.paths = RunPaths(home, wanted.id)
        self.paths.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            self._lock = hold(self.paths.lock, wanted.id)
            undo.callback(os.close, self._lock)
            self.fence = take_over(self.paths, attempt)
            self.run_file = _begin_or_check(self.paths.run_file, wanted)
            self.journal = Journal(self.paths.journal, self.fence)
            undo.callback(self.journal.close)
            log = RunLogWriter(self.paths.run_log, self.fence)
            log.on_lost = on_lost
            undo.callback(log.close)
            self._learn_history()
            self.store = CheckpointStore(self.paths)
            self.store.tidy()
            self.writer = WriterProcess(self._lock, self.fence)
            undo.pop_all()
        self.tracker = TrackerProcess(self.paths, self.fence)
        self.stop_wish = StopWish(self.paths, self.journal)
        self.recorder = Recorder(log, flushed=nudge, tick=self._tick)

    def _tick(self) -> None:
        """Now and then: see that the tracker lives, and that nobody has come since."""
        if not self.fence.holds():
            self._on_lost()
            return
        self.tracker.ensure_alive()
        if self.stop_wish.look():
            self._on_wish()

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run_file.id

    @property
    def known_seqs(self) -> set[int]:
        """The numbers of all commands that were ever dealt with, or wait for their step."""
        return self.journal.seqs | self.receipts_logged

    @property
    def heard_up_to(self) -> int:
        """The command number up to which all were heard of; 0 if none was."""
        known, seq = self.known_seqs, 0
        while seq + 1 in known:
            seq += 1
        return seq

    def _learn_history(self) -> None:
        """What the log says of earlier attempts."""
        self.logged_up_to = BEFORE_FIRST_STEP
        """The last step that the log, or a refusal, speaks of: what was said must stay true."""
        told: dict[int, Receipt] = {}
        self.checkpoints_logged: set[str] = set()
        reader = RunLogReader(self.paths.run_log)
        while records := reader.read():
            for record in records:
                match record:
                    case Metrics():
                        self.logged_up_to = max(self.logged_up_to, record.step)
                    case CommandDone():
                        told.setdefault(record.receipt.seq, record.receipt)
                    case CheckpointWritten():
                        self.checkpoints_logged.add(record.checkpoint.name)
                    case CheckpointDeleted():
                        self.checkpoints_logged.discard(record.name)
                    case StatusChanged() if record.status in _FINAL:
                        raise RunEnded(
                            f"run {self.paths.folder.name} is {record.status.value}; "
                            "fork it to go on from one of its checkpoints"
                        )
        for refusal in self.journal.refusals:
            if refusal.receipt.step is not None:  # it may be on the disk before the log's lines
                self.logged_up_to = max(self.logged_up_to, refusal.receipt.step)
        self.receipts_logged = set(told)
        for intent in self.journal.intents:
            # What was told is what happened, also where a full disk kept it from the journal.
            if intent.position not in self.journal.outcomes and intent.command.seq in told:
                self.journal.conclude(intent, told[intent.command.seq])

    def find_checkpoint(self, name: str) -> CheckpointStore:
        """The store that has this checkpoint: the run's own, or that of a run it came from.

        Raises:
            CheckpointUnusable: none of them has it.
        """
        store, origin = self.store, self.run_file.origin
        while name not in store.names():
            # What an ancestor did after the fork is no part of this run's past.
            if origin is None or checkpoint_step(name) > checkpoint_step(origin.checkpoint):
                self.store.manifest(name)  # raises, naming what there is
                raise CheckpointUnusable(f"run {self.id} has no checkpoint {name}")
            paths = RunPaths(self.paths.home, origin.run)
            store = CheckpointStore(paths)
            origin = read_run_file(paths.run_file).origin if paths.run_file.exists() else None
        return store

    def close(self, tracker_seconds: float) -> None:
        """Finish writing, end the helpers, and free the run."""
        self.writer.close()
        self.recorder.close()
        if self.fence.holds():
            self.tracker.finish(tracker_seconds)
        else:
            self.tracker.abandon()
        self.journal.close()
        os.close(self._lock)


_FINAL = frozenset({RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.SUPERSEDED})
"""A failed run is not among them: whoever mends the program may go on with it."""


def read_run_file(path: Path) -> RunFile:
    """What a run is.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        return RunFile.model_validate(strict_json_loads(path.read_bytes()))
    except ValueError as error:
        raise InvalidInput([Fault(path=str(path), message=f"is damaged: {error}")]) from error


def _begin_or_check(path: Path, wanted: RunFile) -> RunFile:
    if not path.exists():
        temporary = path.with_suffix(".writing")
        with temporary.open("w") as file:
            file.write(wanted.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return wanted
    found = read_run_file(path)
    faults = [
        Fault(
            path=field,
            message=f"differs from what run {found.id} began with; fork the run to change it, or "
            "start a new one",
        )
        for field in ("experiment", "seed", "config", "origin")
        if getattr(found, field) != getattr(wanted, field) and not _origin_unsaid(field, wanted)
    ]
    if faults:
        raise InvalidInput(faults)
    return found


def _origin_unsaid(field: str, wanted: RunFile) -> bool:
    return field == "origin" and wanted.origin is None


def hold(path: Path, run_id: str) -> int:
    """Hold the run's lock. Children that inherit the descriptor hold it too, until they end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise RunBusy(
                    f"run {run_id} is being trained by another process; wait for it, or fork it"
                ) from None
            time.sleep(0.05)
