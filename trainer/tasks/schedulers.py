"""Torch's learning-rate schedulers by name, and when each of them steps."""

import inspect
import re
from typing import Any

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainer.tasks.registry import Registry

SCHEDULERS: Registry[LRScheduler | None] = Registry("scheduler", given=1)
"""Functions of the optimizer."""

STEP_EVERY_DEFAULT = "1 epoch"
STEP_EVERY = {"one_cycle_lr": "1 step", "cyclic_lr": "1 step"}
"""Schedulers that are made to step with every batch."""

EVALUATED = frozenset({"reduce_lr_on_plateau"})
"""Schedulers that step at each evaluation, with the test loss."""

_LENGTH = {"one_cycle_lr": "total_steps", "cosine_annealing_lr": "T_max"}
"""The option that says how long the schedule is; without it, it is as long as the training."""

_UNFIT = {"ChainedScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR"}
"""They take functions or other schedulers, which no file can give."""

_HIDDEN = ("last_epoch", "verbose", "epochs", "steps_per_epoch")


@SCHEDULERS.register("constant")
def constant(optimizer: Optimizer) -> None:
    """No schedule: the learning rate stays as it is set."""


def make_scheduler(
    name: str, optimizer: Optimizer, *, length: int, **options: Any
) -> LRScheduler | None:
    """The scheduler, or None for `constant`.

    Args:
        name: as registered.
        optimizer: whose learning rate it shapes.
        length: how often it will step in the whole training.
        options: as checked.
    """
    option = _LENGTH.get(SCHEDULERS.entry(name).name)
    if option and options.get(option) is None:
        options[option] = length
    return SCHEDULERS.make(name, optimizer, **options)


def advance(scheduler: LRScheduler) -> None:
    """One step; a schedule that has a fixed length holds its last value when it is through."""
    total = getattr(scheduler, "total_steps", None)
    if total is None or scheduler.last_epoch < total - 1:
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
        SCHEDULERS.register(
            name,
            alias=cls_name,
            hidden=_HIDDEN,
            defaults={_LENGTH[name]: None} if name in _LENGTH else None,
            summary=f"torch.optim.lr_scheduler.{cls_name}",
        )(cls)


def snake_case(name: str) -> str:
    """`CosineAnnealingLR` as `cosine_annealing_lr`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


_register_all()
