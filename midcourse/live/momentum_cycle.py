"""The momentum that CyclicLR and OneCycleLR move with the rate.

It falls from an upper level to a lower one and comes back. `optimizer.momentum` is then the upper
level, from which the cycle begins: a new one moves both levels, and the momentum of the next step
with them, so that no step of the schedule undoes it.
"""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from midcourse.live import groups
from midcourse.live.schedules import leaves

LEVELS = ("max_momentum", "base_momentum")
"""Upper and lower level, as the schedulers write them into the param groups."""


def cycling(scheduler: Any) -> list[CyclicLR | OneCycleLR]:
    """The schedulers, of a tracked one and its members, that move the momentum."""
    return [
        leaf
        for leaf in leaves(scheduler)
        if isinstance(leaf, CyclicLR | OneCycleLR) and leaf.cycle_momentum
    ]


def upper_levels(optimizer: Optimizer, scheduler: Any) -> list[float]:
    """The momentum that each group's cycle begins from; the present one where none is cycled."""
    found = cycling(scheduler)
    if not found:
        return [groups.momentum(group) for group in optimizer.param_groups]
    if isinstance(found[0], CyclicLR):
        return [float(level) for level in found[0].max_momentums]
    return [float(group["max_momentum"]) for group in optimizer.param_groups]


def check(optimizer: Optimizer, scheduler: Any, value: float) -> None:
    """Whether the upper level can become `value`.

    Raises:
        ValueError: it cannot; says why.
    """
    found = cycling(scheduler)
    if not found:
        return
    who = type(found[0]).__name__
    upper = upper_levels(optimizer, scheduler)
    if value == 0 or 0 in upper:
        raise ValueError(
            f"must be above 0, and so must the present level be, while {who} cycles the momentum "
            "from it: both levels of the cycle keep their ratio"
        )
    for index, group in enumerate(optimizer.param_groups):
        lower = [float(group.get("base_momentum", 0.0))]
        lower += [float(leaf.base_momentums[index]) for leaf in found if isinstance(leaf, CyclicLR)]
        if max(lower) * (value / upper[index]) >= 1:
            raise ValueError(
                f"is too high for {who}: the other level of its momentum cycle, "
                f"{max(lower):.6g}, would rise with it to 1 or more"
            )


def move(optimizer: Optimizer, scheduler: Any, value: float) -> None:
    """Make `value` the momentum of every group, or the level from which it is cycled.

    Args:
        optimizer: whose groups have a momentum or betas.
        scheduler: what shapes the rate, or None.
        value: as `check` accepts it.
    """
    found = cycling(scheduler)
    upper = upper_levels(optimizer, scheduler)
    for index, group in enumerate(optimizer.param_groups):
        if not found:
            groups.set_momentum(group, value)
            continue
        for key in LEVELS:
            if key in group:
                group[key] = _moved(float(group[key]), upper[index], value)
        for leaf in found:
            if isinstance(leaf, CyclicLR):
                for levels in (leaf.max_momentums, leaf.base_momentums):
                    levels[index] = _moved(float(levels[index]), upper[index], value)
        now = groups.momentum(group)
        groups.set_momentum(group, _moved(now, upper[index], value))


def _moved(momentum: float, old: float, new: float) -> float:
    return new if momentum == old else momentum * (new / old)


def follow(optimizer: Optimizer, scheduler: Any) -> None:
    """Let the schedule move what this optimizer has: its momentum, or the first of its betas."""
    for leaf in cycling(scheduler):
        leaf.use_beta1 = "betas" in optimizer.defaults
