"""Beginning a schedule in the place of another, and rehearsing what it will do."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from midcourse.catalogue.schedulers import Constant
from midcourse.live import groups, momentum_cycle, schedules
from midcourse.live.rehearsal import StandIn, clock, forward

_PLATEAU_MEMORY = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")
_LONGEST_REHEARSAL = 2_000


@dataclass(frozen=True)
class Place:
    """What a schedule leaves to the one that comes after it."""

    old: LRScheduler
    bases: list[float]
    """Of each group's rate."""
    momenta: list[float] | None
    """The levels from which it cycled each group's momentum; None if it did not."""

    @classmethod
    def of(cls, optimizer: Optimizer, scheduler: LRScheduler) -> "Place":
        """The place of a live scheduler."""
        cycles = bool(momentum_cycle.cycling(scheduler))
        return cls(
            scheduler,
            schedules.bases(optimizer, scheduler),
            momentum_cycle.upper_levels(optimizer, scheduler) if cycles else None,
        )

    def begin(
        self, optimizer: Optimizer, make: Callable[[Optimizer], LRScheduler | None], anew: bool
    ) -> LRScheduler:
        """Make the schedule that comes after.

        Args:
            optimizer: the live one, or a stand-in with the same groups; it is changed.
            make: makes the scheduler; None means that there is to be no schedule.
            anew: whether its clock begins at 0; if not, it goes on where the old one's is.
        """
        schedules.drop_group_keys(optimizer, self.old)
        groups.set_rates(optimizer, self.bases)
        if self.momenta is not None:
            for group, momentum in zip(optimizer.param_groups, self.momenta, strict=True):
                groups.set_momentum(group, momentum)
        made = make(optimizer) or Constant(optimizer)
        if anew:
            return made
        if isinstance(made, ReduceLROnPlateau):
            _remember(self.old, made)
            return made
        forward(made, clock(self.old))
        return made


def _remember(old: Any, new: ReduceLROnPlateau) -> None:
    """What a plateau scheduler has seen; the best metric only if the new one looks the same way."""
    for attribute in _PLATEAU_MEMORY:
        if attribute != "best" or old.mode == new.mode:
            setattr(new, attribute, getattr(old, attribute))


def rehearse(made: LRScheduler, stand_in: StandIn, options: Mapping[str, Any]) -> None:
    """Step through a schedule, so that what torch finds wrong only later is found now.

    Args:
        made: the schedule; it is used up.
        stand_in: the optimizer whose rate it shapes.
        options: its options, the longest of which says how far to go.

    Raises:
        Exception: as torch; ValueError for a rate that is none.
    """
    longest = max((it for it in options.values() if type(it) is int), default=0)
    for _ in range(min(longest, _LONGEST_REHEARSAL) + 3):
        if isinstance(made, ReduceLROnPlateau):
            made.step(1.0)
        else:
            made.step()
        for rate in (float(group["lr"]) for group in stand_in.param_groups):
            if not (math.isfinite(rate) and rate >= 0):
                raise ValueError(f"the rate would become {rate:g}")
