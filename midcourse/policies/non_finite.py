"""`non_finite`: goes back to before a value that is NaN or infinite, with a lower learning rate."""

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from midcourse.branch import Branch, read_run_file
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.commands import Action, Changes, Pause, Revert
from midcourse.contract.errors import InvalidInput
from midcourse.contract.names import new_run_id
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import Origin, RunFile
from midcourse.policies.policy import Policy, Settings
from midcourse.policies.soundness import Soundness

if TYPE_CHECKING:
    from midcourse.engine import Engine

RATE = "optimizer.lr"


class NonFiniteSettings(Settings):
    """On a value that is NaN or infinite, revert to the last sound checkpoint."""

    kind: Literal["non_finite"]
    lr_factor: float = Field(0.5, gt=0, lt=1)
    """What the learning rate is multiplied by, each time."""
    at_most: int = Field(3, ge=0, le=1000)
    """So many reverts; the next bad value pauses the run."""


class NonFinite(Policy):
    """Reverts at most N times along a line of runs, each in the place of the one before."""

    def __init__(self, settings: NonFiniteSettings) -> None:
        super().__init__(settings.metric, name=settings.name or settings.kind, every=settings.every)
        self._settings = settings
        self._soundness = Soundness()

    def see(self, step: int, value: float, run: "Engine") -> str | None:
        """Anything but a finite number is a reason."""
        del run
        return None if math.isfinite(value) else f"{self.metric} is {value} at step {step}"

    def propose(self, why: str, run: "Engine") -> tuple[Action, str] | None:
        """Revert with a lower rate; or pause, where that has no prospect."""
        branch = run.branch
        if self._revert_failed(branch):
            return Pause(), f"{why}, and the revert that this called for before was not possible"
        done = reverts_by(self.actor, branch)
        if done >= self._settings.at_most:
            return Pause(), f"{why}, after {done} reverts: {self._settings.at_most} are allowed"
        branch.writer.drain()  # the checkpoint to go back to may be on its way to the disk
        bad_step = run.last_step_of_boundary
        found = self._soundness.last_before(bad_step, branch, weights_of(run))
        if found is None:
            return Pause(), f"{why}, and no checkpoint from before it is whole and free of NaN"
        store, checkpoint = found
        factor = self._settings.lr_factor * lowered_since(
            store.paths.folder.name, self.actor, branch
        )
        changes: Changes = {RATE: {"value": factor, "mode": "scale"}}
        try:
            run.parameters.check(changes)
        except InvalidInput as error:
            return Pause(), f"{why}, and its learning rate cannot be lowered: {error}"[:2000]
        revert = Revert(checkpoint=checkpoint, child=new_run_id(), changes=changes)
        return revert, f"{why}; revert {done + 1} of at most {self._settings.at_most}"

    def _revert_failed(self, branch: Branch) -> bool:
        return any(
            command.actor == self.actor
            and isinstance(command.action, Revert)
            and receipt.state is not CommandState.APPLIED
            for command, receipt in branch.journal.concluded()
        )

    def wanted_checkpoints(self, store: CheckpointStore, run: "Engine") -> set[str]:
        """The newest sound ones, however few the run keeps."""
        return self._soundness.newest(store, weights_of(run))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: a revert would take the count back with everything else."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


def weights_of(run: "Engine") -> frozenset[str]:
    """The names that a checkpoint has for the parameters of the tracked model."""
    model = run.tracked.model
    names = () if model is None else (name for name, _ in model.named_parameters())
    return frozenset(f"objects/model/{name}" for name in names)


def reverts_by(actor: str, branch: Branch) -> int:
    """How many of the runs that took each other's place, down to this one, an actor brought about.

    Not the origins are followed but who superseded whom: a child that failed before its first
    checkpoint is followed by one that has the same origin.
    """
    run_file, count = branch.run_file, 0
    while run_file.supersedes is not None:
        count += _brought_about(run_file.origin, actor)
        found = _read(branch, run_file.supersedes)
        if found is None:
            break
        run_file = found
    return count


def lowered_since(run: str, actor: str, branch: Branch) -> float:
    """What an actor's reverts have multiplied the rate by since a run that this one comes from.

    The checkpoints of that run know nothing of it: going back to one again, and lowering the rate
    by the same factor as before, would repeat what failed, bit for bit.
    """
    factor = 1.0
    run_file: RunFile | None = branch.run_file
    while run_file is not None and run_file.id != run and run_file.origin is not None:
        origin = run_file.origin
        if _brought_about(origin, actor):
            said: Any = origin.changes.get(RATE)
            factor *= said["value"]
        run_file = _read(branch, origin.run)
    return factor


def _brought_about(origin: Origin | None, actor: str) -> bool:
    """Whether a run began as a revert by this policy."""
    return origin is not None and origin.revert and origin.actor == actor


def _read(branch: Branch, run: str) -> RunFile | None:
    try:
        return read_run_file(RunPaths(branch.paths.home, run).run_file)
    except (OSError, InvalidInput):
        return None
