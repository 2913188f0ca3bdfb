"""Moving the base that a torch scheduler shapes, so that the schedule goes on from the new base.

Schedulers differ in where they keep it. Some compute each rate from `base_lrs` (closed form),
some from the rate before (recursive, so that setting `base_lrs` alone is ignored), some from keys
in the param groups. A new base therefore moves all of these places at once: after it, both forms
give the rate that a schedule begun with the new base would have at this step.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers

_PROPORTIONAL = (
    torch_schedulers.LambdaLR,
    torch_schedulers.MultiplicativeLR,
    torch_schedulers.StepLR,
    torch_schedulers.MultiStepLR,
    torch_schedulers.ConstantLR,
    torch_schedulers.LinearLR,
    torch_schedulers.ExponentialLR,
    torch_schedulers.PolynomialLR,
)
"""rate = base x factor(step)."""

_WITH_FLOOR = (
    torch_schedulers.CosineAnnealingLR,
    torch_schedulers.CosineAnnealingWarmRestarts,
)
"""rate = floor + (base - floor) x factor(step), the floor being `eta_min`."""


def check_movable(optimizer: Optimizer, scheduler: Any) -> None:
    """Whether the base of this scheduler can be moved.

    Raises:
        ValueError: it cannot; says why, and for an unknown class which are known.
    """
    movable = (torch_schedulers.ReduceLROnPlateau, *_PROPORTIONAL, *_WITH_FLOOR)
    if scheduler is not None and not isinstance(scheduler, movable):
        raise ValueError(
            f"cannot be changed under the scheduler {type(scheduler).__name__}; it can under none "
            f"and under {', '.join(kind.__name__ for kind in movable)}"
        )
    old, floor = bases(optimizer, scheduler), _floor(scheduler)
    if old[0] == 0 and (scheduler is not None or len(old) > 1):
        raise ValueError(
            "cannot be changed: the first param group's is 0, so the others' ratio to it, and what "
            "the schedule makes of it, are unknown"
        )
    if floor and floor in old:
        raise ValueError(
            f"cannot be changed: a param group's base is {floor:g}, the schedule's floor, so there "
            "is no schedule to move"
        )


def _floor(scheduler: Any) -> float:
    return float(scheduler.eta_min) if isinstance(scheduler, _WITH_FLOOR) else 0.0


def bases(optimizer: Optimizer, scheduler: Any) -> list[float]:
    """The base of each param group: its rate where no schedule shapes it."""
    if scheduler is None or isinstance(scheduler, torch_schedulers.ReduceLROnPlateau):
        return [float(group["lr"]) for group in optimizer.param_groups]
    found = getattr(scheduler, "base_lrs", None)
    if found is None:
        return [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    return [float(base) for base in found]


def rebase(optimizer: Optimizer, scheduler: Any, base: float) -> None:
    """Give the first group the base `base`; the other groups keep their ratio to it.

    Args:
        optimizer: whose param groups carry the rates.
        scheduler: None, or one that `check_movable` accepts.
        base: above 0.
    """
    old = bases(optimizer, scheduler)
    new = [base if index == 0 else base * (other / old[0]) for index, other in enumerate(old)]
    floor = _floor(scheduler)
    for group, old_base, new_base in zip(optimizer.param_groups, old, new, strict=True):
        rate = float(group["lr"])
        moved = new_base
        if rate != old_base:
            moved = floor + (rate - floor) * ((new_base - floor) / (old_base - floor))
        _set_rate(group, moved)
        if "initial_lr" in group:
            group["initial_lr"] = new_base
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = new
    if hasattr(scheduler, "_last_lr"):
        scheduler._last_lr = [float(group["lr"]) for group in optimizer.param_groups]


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def snapshot(scheduler: Any) -> Callable[[], None]:
    """A function that gives the scheduler its present bases back."""
    kept = {
        name: copy.copy(getattr(scheduler, name))
        for name in ("base_lrs", "_last_lr")
        if hasattr(scheduler, name)
    }

    def restore() -> None:
        for name, value in kept.items():
            setattr(scheduler, name, value)

    return restore
