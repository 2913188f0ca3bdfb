"""The options of schedulers, read back from a live one."""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import JsonValue
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR


def read_option(scheduler: LRScheduler, option: str) -> JsonValue:
    """An option as the live scheduler and the param groups that it shapes hold it.

    Where several groups hold the same, it is told once.

    Raises:
        LookupError: the scheduler has no attribute of the option's name.
    """
    for kind, readers in _READERS.items():
        if isinstance(scheduler, kind) and option in readers:
            return _plain(readers[option](scheduler))
    if not hasattr(scheduler, option):
        raise LookupError(option)
    return _plain(getattr(scheduler, option))


def _plain(value: Any) -> JsonValue:
    if isinstance(value, torch.Tensor):
        return float(value)
    if hasattr(value, "elements"):  # the milestones are a Counter
        return sorted(value.elements())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value  # type: ignore[no-any-return]


def _in_groups(key: str) -> Callable[[Any], Any]:
    return lambda scheduler: each([group[key] for group in scheduler.optimizer.param_groups])


def _momentum(key: str) -> Callable[[Any], Any]:
    """Null where the momentum is not cycled: the option has no effect then."""
    return lambda scheduler: _in_groups(key)(scheduler) if scheduler.cycle_momentum else None


def _quotient(above: str, below: str) -> Callable[[Any], float | None]:
    def read(scheduler: Any) -> float | None:
        group = scheduler.optimizer.param_groups[0]
        if group[below] == 0:
            return None
        # The last digits are the division's.
        return float(f"{float(group[above]) / float(group[below]):.12g}")

    return read


def each(values: list[Any]) -> Any:
    """The value that all groups share, else the list."""
    return values[0] if values and all(value == values[0] for value in values) else values


_READERS: dict[type, dict[str, Callable[[Any], Any]]] = {
    OneCycleLR: {
        "max_lr": _in_groups("max_lr"),
        "base_momentum": _momentum("base_momentum"),
        "max_momentum": _momentum("max_momentum"),
        "div_factor": _quotient("max_lr", "initial_lr"),
        "final_div_factor": _quotient("initial_lr", "min_lr"),
        "pct_start": lambda it: float(
            f"{(it._schedule_phases[0]['end_step'] + 1) / it.total_steps:.12g}"
        ),
        "three_phase": lambda it: len(it._schedule_phases) == 3,
        "anneal_strategy": lambda it: it._anneal_func_type,
    },
    CyclicLR: {
        "base_lr": lambda it: each(it.base_lrs),
        "max_lr": lambda it: each(it.max_lrs),
        "base_momentum": lambda it: each(it.base_momentums) if it.cycle_momentum else None,
        "max_momentum": lambda it: each(it.max_momentums) if it.cycle_momentum else None,
        "step_size_up": lambda it: round(it.total_size * it.step_ratio),
        "step_size_down": lambda it: round(it.total_size * (1 - it.step_ratio)),
    },
    torch.optim.lr_scheduler.ReduceLROnPlateau: {"min_lr": lambda it: each(it.min_lrs)},
}
"""Where torch keeps what it does not keep under the option's name."""
