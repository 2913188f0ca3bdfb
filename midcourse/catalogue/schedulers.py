"""Torch's learning-rate schedulers by name, and when each of them steps."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from midcourse.catalogue.registry import Registry

SCHEDULERS: Registry[LRScheduler] = Registry("scheduler", given=1)
"""Functions of the optimizer."""

STEP_EVERY_DEFAULT = "1 epoch"
STEP_EVERY = {"one_cycle_lr": "1 step", "cyclic_lr": "1 step"}
"""Schedulers that are made to step with every batch."""

EVALUATED = frozenset({"reduce_lr_on_plateau"})
"""Schedulers that step at each evaluation, with the test loss."""

LENGTH = {"one_cycle_lr": "total_steps", "cosine_annealing_lr": "T_max"}
"""The option that says how long the schedule is; without it, it is as long as the training."""

BASE = {"one_cycle_lr": "max_lr", "cyclic_lr": "base_lr"}
"""The option that is the schedule's base rate; without it, it is the optimizer's rate."""

_UNFIT = {"ChainedScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR"}
"""They take functions or other schedulers, which no file can give."""

_HIDDEN = ("last_epoch", "verbose", "epochs", "steps_per_epoch")


@dataclass(frozen=True)
class Schedules:
    """What a program's scheduler may be swapped for, and how long those are that fill training."""

    registry: Registry[LRScheduler]
    """The program steps whichever of them its scheduler is in the way that it wants."""
    length: Callable[[str], int] | None = None
    """How often the program will still step a scheduler of that name, to the end of training."""


@SCHEDULERS.register("constant", hidden=_HIDDEN)
class Constant(LRScheduler):
    """No schedule: the learning rate stays as it is set."""

    def get_lr(self) -> list[float | torch.Tensor]:
        """The rates as they are."""
        return [_apart(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, *_: Any, **__: Any) -> None:
        """Count, and change nothing; whatever another scheduler would be told is taken."""
        self._step_count += 1
        self.last_epoch += 1
        self._last_lr = self.get_lr()


class HeldOneCycleLR(OneCycleLR):
    """Torch's OneCycleLR, which holds its last rate when it is through, where torch's raises."""

    def step(self, epoch: int | None = None) -> None:
        """One step, while there are any left."""
        if self.last_epoch < self.total_steps - 1:
            super().step(epoch)


def _apart(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def complete(
    name: str,
    options: Mapping[str, Any],
    *,
    bases: Sequence[float],
    length: Callable[[], int] | None,
) -> dict[str, Any]:
    """The options with those filled in that a choice leaves to the training.

    Args:
        name: as registered.
        options: as checked.
        bases: the rate of each param group that the schedule is to shape.
        length: how often the scheduler will step in all; None where nobody knows.

    Raises:
        LookupError: the option that says the length is missing; the message is its name.
    """
    filled = dict(options)
    base, span = BASE.get(name), LENGTH.get(name)
    if base is not None and filled.get(base) is None:
        filled[base] = [float(rate) for rate in bases]
    if span is not None and filled.get(span) is None:
        if length is None:
            raise LookupError(span)
        filled[span] = length()
    return filled


def make_scheduler(name: str, optimizer: Optimizer, *, length: int, **options: Any) -> LRScheduler:
    """The scheduler.

    Args:
        name: as registered.
        optimizer: whose learning rate it shapes.
        length: how often it will step in the whole training.
        options: as checked.
    """
    name = SCHEDULERS.entry(name).name
    bases = [float(group["lr"]) for group in optimizer.param_groups]
    filled = complete(name, options, bases=bases, length=lambda: length)
    return SCHEDULERS.make(name, optimizer, **filled)


def advance(scheduler: LRScheduler) -> None:
    """One step; nothing for a scheduler that watches the test loss."""
    if not isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step()


def advance_by_loss(scheduler: LRScheduler, test_loss: float) -> None:
    """One step of a scheduler that watches the test loss; nothing for any other."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(test_loss)


def _register_all() -> None:
    for cls_name, cls in sorted(inspect.getmembers(lr_scheduler, inspect.isclass)):
        fits = issubclass(cls, LRScheduler) and cls is not LRScheduler and cls_name not in _UNFIT
        if not fits or cls_name.startswith("_"):
            continue
        name = snake_case(cls_name)
        left = [table[name] for table in (LENGTH, BASE) if name in table]
        SCHEDULERS.register(
            name,
            alias=cls_name,
            hidden=_HIDDEN,
            defaults=dict.fromkeys(left),
            summary=f"torch.optim.lr_scheduler.{cls_name}",
            of=cls,
        )(HeldOneCycleLR if cls is OneCycleLR else cls)


def snake_case(name: str) -> str:
    """`CosineAnnealingLR` as `cosine_annealing_lr`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


_register_all()
