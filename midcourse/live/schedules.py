"""The base that a torch scheduler shapes, and moving it so that the schedule goes on from there.

`optimizer.lr` has one meaning under every scheduler: the rate that the schedule is made of.

| scheduler | base | what keeps its ratio to the base |
|---|---|---|
| none, `constant`, ReduceLROnPlateau | the group's rate | |
| OneCycleLR | `max_lr` | the first and the last rate |
| CyclicLR | `base_lr`, the rate that a cycle begins with | `max_lr` |
| SequentialLR, ChainedScheduler | that of the first member | the bases of the other members |
| any other | `base_lrs` | |

Floors (`eta_min`, `min_lr`) are limits, not parts of the shape: they stay where they are.

Schedulers keep the base in different places. Some compute each rate from `base_lrs` (closed form),
some from the rate before (recursive, so that setting `base_lrs` alone is ignored), some from keys
in the param groups. A new base moves all of these places at once: after it, each form gives the
rate that a schedule begun with the new base would have at this step.
"""

import bisect
from typing import Any

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from midcourse.catalogue.schedulers import Constant
from midcourse.live import groups, rehearsal

_UNSHAPED = (Constant, torch_schedulers.ReduceLROnPlateau)
"""The rate itself is the base."""

_COMPOSED = (torch_schedulers.SequentialLR, torch_schedulers.ChainedScheduler)

_WITH_FLOOR = (
    torch_schedulers.CosineAnnealingLR,
    torch_schedulers.CosineAnnealingWarmRestarts,
)
"""rate = floor + (base - floor) x factor(step), the floor being `eta_min`."""

_MOVABLE = (
    torch_schedulers.LambdaLR,
    torch_schedulers.MultiplicativeLR,
    torch_schedulers.StepLR,
    torch_schedulers.MultiStepLR,
    torch_schedulers.ConstantLR,
    torch_schedulers.LinearLR,
    torch_schedulers.ExponentialLR,
    torch_schedulers.PolynomialLR,
    torch_schedulers.OneCycleLR,
    torch_schedulers.CyclicLR,
    *_WITH_FLOOR,
    *_UNSHAPED,
)
"""rate = base x factor(step), but for those above."""


def leaves(scheduler: Any) -> list[Any]:
    """The schedulers of which a composed one is made, or the one itself; none of None."""
    if scheduler is None:
        return []
    if isinstance(scheduler, _COMPOSED):
        return [leaf for member in scheduler._schedulers for leaf in leaves(member)]
    return [scheduler]


def bases(optimizer: Optimizer, scheduler: Any) -> list[float]:
    """The base of each param group."""
    first = next(iter(leaves(scheduler)), None)
    if isinstance(first, torch_schedulers.OneCycleLR):
        return [float(group["max_lr"]) for group in optimizer.param_groups]
    if first is None or isinstance(first, _UNSHAPED):
        return [float(group["lr"]) for group in optimizer.param_groups]
    if (found := getattr(first, "base_lrs", None)) is not None:
        return [float(base) for base in found]
    return [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]


def base(optimizer: Optimizer, scheduler: Any) -> float:
    """The base of the first group that has any."""
    found = bases(optimizer, scheduler)
    return found[groups.reference(found)]


def moved_rates(optimizer: Optimizer, scheduler: Any, value: float) -> list[float]:
    """The rate that each group would have at this step if the schedule had begun with a new base.

    Args:
        optimizer: whose param groups carry the rates; not touched.
        scheduler: what shapes them, or None; not touched.
        value: the new base, of the first group that has any; the others keep their ratio to it.

    Raises:
        ValueError: the base of this scheduler cannot be moved; says why.
    """
    if stranger := next((it for it in leaves(scheduler) if not isinstance(it, _MOVABLE)), None):
        names = ", ".join(kind.__name__ for kind in (*_MOVABLE, *_COMPOSED) if kind != Constant)
        raise ValueError(
            f"cannot be changed under the scheduler {type(stranger).__name__}; it can under none "
            f"and under {names}. The mode override ends a scheduler that is an LRScheduler"
        )
    old = bases(optimizer, scheduler)
    new = groups.in_ratio(old, value)
    if scheduler is None or isinstance(scheduler, _UNSHAPED):
        return new
    if not any(old):
        raise ValueError(
            "cannot be changed: the base is 0, so what the schedule makes of it is unknown. The "
            "mode override sets the rate and ends the schedule"
        )
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    factors = list(zip(old, new, strict=True))
    if not any(map(_floor, leaves(scheduler))):
        return list(map(_moved, rates, old, factors, [0.0] * len(old)))
    alone = _alone(scheduler)
    floor = _floor(alone)
    if alone is None or floor in bases(optimizer, alone):
        return rehearsal.rates_of(optimizer, scheduler, _base_keys(scheduler), factors)
    return list(map(_moved, rates, bases(optimizer, alone), factors, [floor] * len(old)))


def _moved(rate: float, base: float, factor: tuple[float, float], floor: float) -> float:
    """A rate whose base changes as `factor` says, above a floor that does not."""
    before, after = factor
    if before == 0:
        return rate
    new = after * (base / before)
    return new if rate == base else floor + (rate - floor) * ((new - floor) / (base - floor))


def _floor(scheduler: Any) -> float:
    return float(scheduler.eta_min) if isinstance(scheduler, _WITH_FLOOR) else 0.0


def _alone(scheduler: Any) -> Any:
    """The schedule that makes the present rate from its base alone; None where several do."""
    if isinstance(scheduler, torch_schedulers.SequentialLR):
        turn = bisect.bisect_right(scheduler._milestones, scheduler.last_epoch)
        scheduler = scheduler._schedulers[turn]
    # These begin their turn at whatever rate they find.
    relative = isinstance(scheduler, (torch_schedulers.MultiplicativeLR, Constant))
    return None if relative or isinstance(scheduler, _COMPOSED) else scheduler


def rebase(optimizer: Optimizer, scheduler: Any, value: float) -> None:
    """Move the base of every group in ratio, and with it the rate of the next step.

    Raises:
        ValueError: as `moved_rates`, before anything was touched.
    """
    rates = moved_rates(optimizer, scheduler, value)
    old = bases(optimizer, scheduler)
    factors = list(zip(old, groups.in_ratio(old, value), strict=True))
    rehearsal.scale_groups(optimizer.param_groups, _base_keys(scheduler), factors)
    for leaf in leaves(scheduler):
        rehearsal.scale_leaf(leaf, factors)
    groups.set_rates(optimizer, rates)
    _note_rates(optimizer, scheduler)


def _note_rates(optimizer: Optimizer, scheduler: Any) -> None:
    """Let `get_last_lr` of a scheduler and its members tell the new rates."""
    if isinstance(scheduler, _COMPOSED):
        for member in scheduler._schedulers:
            _note_rates(optimizer, member)
    if isinstance(scheduler, LRScheduler):
        scheduler._last_lr = [groups.copied(group["lr"]) for group in optimizer.param_groups]


def _base_keys(scheduler: Any) -> set[str]:
    """Where the param groups keep bases: torch writes `initial_lr` for any schedule."""
    of_one_cycle = any(isinstance(it, torch_schedulers.OneCycleLR) for it in leaves(scheduler))
    return {"initial_lr", "max_lr", "min_lr"} if of_one_cycle else {"initial_lr"}


def drop_group_keys(optimizer: Optimizer, scheduler: Any) -> None:
    """Take out of the param groups what a schedule that ends has put there."""
    keys = _base_keys(scheduler)
    if any(getattr(leaf, "cycle_momentum", False) for leaf in leaves(scheduler)):
        keys |= {"max_momentum", "base_momentum"}
    for group in optimizer.param_groups:
        for key in keys:
            group.pop(key, None)
