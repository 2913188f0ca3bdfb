"""Taking checkpoints: what goes in, under which name, and what happens once they are written."""

import math
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np
import torch

from midcourse.branch import Branch
from midcourse.checkpoints.store import COMMAND_PIN
from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, CheckpointRecord, Manifest
from midcourse.contract.names import checkpoint_name
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointFailed,
    CheckpointWritten,
    Notice,
)
from midcourse.errors import MidcourseError, StateUnsupported
from midcourse.policies.guard import Guard
from midcourse.version import __version__

Mode = Literal["max", "min"]
_NOT_YET_HASHED = "0" * 64


class BestSoFar:
    """The watched metric's best value in this branch."""

    def __init__(self, metric: str, mode: Mode) -> None:
        self.metric = metric
        self.mode = mode
        self.value: float | None = None
        self.improved = False
        """Better than ever since the last checkpoint."""

    def see(self, value: float) -> None:
        """Take a new value; one that is not a finite number is never the best."""
        better = self.value is None or (
            value > self.value if self.mode == "max" else value < self.value
        )
        if better and math.isfinite(value):
            self.value = value
            self.improved = True


class CheckpointNotWritten(MidcourseError):
    """A checkpoint could not be written."""


class Checkpointer:
    """Takes checkpoints of one branch."""

    def __init__(
        self,
        branch: Branch,
        attempt: int,
        keep: int,
        best: BestSoFar | None,
        guard: Guard | None = None,
    ) -> None:
        self._branch = branch
        self._guard = guard
        self._attempt = attempt
        self._keep = keep
        self._best = best
        self._best_name: str | None = None
        self._taken: dict[tuple[int, int], Future[Manifest]] = {}
        self._named: dict[tuple[int, int], str] = {}
        self._names: set[str] = set()
        for manifest in branch.store.manifests():
            done: Future[Manifest] = Future()
            done.set_result(manifest)
            self._taken[manifest.checkpoint.step, manifest.edits] = done
            self._names.add(manifest.checkpoint.name)
            self._named[manifest.checkpoint.step, manifest.edits] = manifest.checkpoint.name
            if manifest.checkpoint.best:
                self._best_name = manifest.checkpoint.name

    def report_unreported(self) -> None:
        """Log what a crash kept from the log: checkpoints that are on the disk, or are not."""
        logged, found = self._branch.checkpoints_logged, set()
        for manifest in self._branch.store.manifests():
            found.add(manifest.checkpoint.name)
            if manifest.checkpoint.name not in logged:
                record = CheckpointWritten(at=utc_now(), checkpoint=manifest.checkpoint)
                self._branch.recorder.record(record)
        for name in sorted(logged - found):
            self._branch.recorder.record(CheckpointDeleted(at=utc_now(), name=name))

    def take(
        self,
        reason: CheckpointReason,
        step: int,
        edits: int,
        position: int,
        state: Callable[[], Any],
        *,
        cursor: Mapping[str, Any],
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        name: str | None = None,
    ) -> "Future[Manifest]":
        """Capture the state now and have it written.

        A state that was taken before (same step, as many edits) is not written twice. `name` is
        what a crash lost: the checkpoint is taken again under the name that the journal knows.

        Returns:
            The manifest, once it is on the disk; fails with `CheckpointNotWritten`.
        """
        is_best = self._best is not None and self._best.improved
        if self._best is not None:
            self._best.improved = False
        known = self._taken.get((step, edits))
        if known is not None and not (known.done() and known.exception()):
            return known
        promise: Future[Manifest] = Future()
        self._taken[step, edits] = promise
        if name is None or name in self._names:
            name = self._free_name(step)
        self._names.add(name)
        self._named[step, edits] = name
        try:
            capture = self._branch.writer.capture(state())
        except (StateUnsupported, OSError, MemoryError) as error:
            self._fail(promise, name, str(error))
            return promise
        manifest = Manifest(
            checkpoint=CheckpointRecord(
                run=self._branch.id,
                name=name,
                step=step,
                reason=reason,
                state_hash=_NOT_YET_HASHED,
                bytes=0,
                created_at=utc_now(),
                metrics=dict(metrics),
                best=is_best,
            ),
            attempt=self._attempt,
            journal_position=position,
            edits=edits,
            cursor=dict(cursor),
            parameters=dict(parameters),
            memory={"best": self._best.value if self._best else None},
            versions={
                "midcourse": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            files={},
        )

        def done(written: Manifest | None, error: str | None) -> None:
            if written is None:
                self._fail(promise, name, error or "unknown")
            else:
                self._succeed(promise, written)

        folder = self._branch.paths.checkpoint(name)
        paths, recorder = self._branch.paths, self._branch.recorder
        # No checkpoint is ahead of its log; on a GPU, fetching what was logged is not waited for.
        self._branch.writer.write(
            capture, folder, manifest, paths.run_log, done, first=recorder.flush
        )
        return promise

    def _free_name(self, step: int) -> str:
        name, suffix = checkpoint_name(step), 0
        while name in self._names:
            suffix += 1
            name = f"{checkpoint_name(step)}.{suffix}"
        return name

    def name_of(self, step: int, edits: int) -> str:
        """The name of the checkpoint that was taken of a state."""
        return self._named[step, edits]

    def _succeed(self, promise: "Future[Manifest]", manifest: Manifest) -> None:
        record = manifest.checkpoint
        if record.best:
            self._best_name = record.name
        self._branch.recorder.record(CheckpointWritten(at=utc_now(), checkpoint=record))
        promise.set_result(manifest)  # whoever wants to pin it does so in here
        if not self._branch.fence.holds():
            return  # what to keep is for the later attempt to say
        try:
            wanted = self._branch.journal.undo_points(self._keep)
            if self._best_name is not None:
                wanted.add(self._best_name)
            if self._guard is not None:
                wanted |= self._guard.wanted_checkpoints(self._branch.store)
            deleted = self._branch.store.prune(self._keep, wanted)
        except OSError as error:
            message = f"old checkpoints could not be deleted: {error}"
            self._branch.recorder.record(Notice(at=utc_now(), message=message))
            return
        for name in deleted:
            self._branch.recorder.record(CheckpointDeleted(at=utc_now(), name=name))

    def _fail(self, promise: "Future[Manifest]", name: str, reason: str) -> None:
        self._names.discard(name)
        self._branch.recorder.record(CheckpointFailed(at=utc_now(), name=name, reason=reason))
        promise.set_exception(CheckpointNotWritten(f"checkpoint {name} was not written: {reason}"))

    def pin(self, name: str) -> None:
        """Keep a checkpoint because a command said so."""
        self._branch.store.pin(name, COMMAND_PIN)
