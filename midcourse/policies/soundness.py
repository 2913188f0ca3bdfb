"""Sound checkpoints: those whose numbers are numbers, so that a run can go on from them.

A loss that is NaN tells of the step before it: the update that spoiled the weights may be a step
older, and its checkpoint may have been taken, whole and with the right hash. So whoever looks for
one to go back to has to look into the tensors.
"""

from collections.abc import Collection, Iterator

import torch
from safetensors import SafetensorError, safe_open

from midcourse.branch import Branch, read_run_file
from midcourse.checkpoints.store import CheckpointStore
from midcourse.checkpoints.writer import TENSORS_FILE
from midcourse.contract.errors import InvalidInput
from midcourse.contract.names import checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.errors import CheckpointUnusable

KEPT = 3
"""So many steps' sound checkpoints are kept, the newest. At the boundary of a step with a bad value
there may be one of that very step and one of the step before, so it takes a third."""

_TRACKED = "objects/"
_OPTIMIZER = "objects/optimizer/"


class Soundness:
    """Which checkpoints are sound; each is looked into once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bool] = {}

    def is_sound(self, store: CheckpointStore, name: str, weights: Collection[str]) -> bool:
        """Whether nothing that is tracked is NaN, and no weight or moment is infinite.

        Args:
            store: which has it.
            name: of the checkpoint.
            weights: the names of the model's parameters. Its other tensors may hold infinities,
                as an attention mask does.
        """
        key = (store.paths.folder.name, name)
        if key not in self._known:
            try:
                self._known[key] = _look_into(store, name, weights)
            except (OSError, SafetensorError):
                return False  # deleted or damaged: whoever loads it is told
        return self._known[key]

    def newest(self, store: CheckpointStore, weights: Collection[str]) -> set[str]:
        """The sound checkpoints of the newest `KEPT` steps that have any."""
        found: set[str] = set()
        steps: set[int] = set()
        for name in reversed(store.names()):
            step = checkpoint_step(name)
            if len(steps) == KEPT and step not in steps:
                break
            if self.is_sound(store, name, weights):
                steps.add(step)
                found.add(name)
        return found

    def last_before(
        self, step: int, branch: Branch, weights: Collection[str]
    ) -> tuple[CheckpointStore, str] | None:
        """The newest sound checkpoint of a branch's past, to go back to after a bad step.

        The state that the bad step began with is taken only if there is no other: going on from
        it repeats the step, bit for bit, and what was bad before any update is bad again.

        Returns:
            The store that has it, and its name; None if there is none.
        """
        same_again = None
        for store, name in past(branch):
            at = checkpoint_step(name)
            suspect = at >= step or (at == step - 1 and same_again is not None)
            if suspect or not self.is_sound(store, name, weights) or not _is_whole(store, name):
                continue
            if at < step - 1:
                return store, name
            same_again = (store, name)
        return same_again


def past(branch: Branch) -> Iterator[tuple[CheckpointStore, str]]:
    """The checkpoints that a branch has come by, newest first: its own, then its ancestors'.

    Of several with one name the nearest, which is the one that a revert by this name finds.
    """
    store, names, origin = branch.store, branch.store.names(), branch.run_file.origin
    seen: set[str] = set()
    while True:
        yield from ((store, name) for name in reversed(names) if name not in seen)
        seen.update(names)
        if origin is None:
            return
        store = CheckpointStore(RunPaths(branch.paths.home, origin.run))
        names = store.names()
        if origin.checkpoint not in names:
            return
        # What the ancestor did afterwards is no part of this branch.
        names = names[: names.index(origin.checkpoint) + 1]
        try:
            origin = read_run_file(store.paths.run_file).origin
        except (OSError, InvalidInput):
            origin = None


def _look_into(store: CheckpointStore, name: str, weights: Collection[str]) -> bool:
    with safe_open(store.paths.checkpoint(name) / TENSORS_FILE, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - it is no dict
            if not key.startswith(_TRACKED):
                continue
            tensor = file.get_tensor(key)
            if not tensor.is_floating_point():
                continue
            strict = key.startswith(_OPTIMIZER) or key in weights
            if torch.isnan(tensor).any() or (strict and torch.isinf(tensor).any()):
                return False
    return True


def _is_whole(store: CheckpointStore, name: str) -> bool:
    try:
        store.load(name)
    except CheckpointUnusable:
        return False
    return True
