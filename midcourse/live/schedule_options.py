"""The options of schedulers: declaring them, and reading them back from a live scheduler."""

import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal, Union, get_args, get_origin

import torch
from pydantic import JsonValue
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from midcourse.catalogue.registry import Registry
from midcourse.contract.live_parameter import LiveParameter

_TYPES: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}


def declare_options(
    registry: Registry[LRScheduler], names: Iterable[str]
) -> dict[str, LiveParameter]:
    """The options of several schedulers as live parameters, by the option's name.

    An option has the type that all who take it agree on, else `any`: the scheduler's own
    declaration then decides when the value is applied.
    """
    takers: dict[str, dict[str, Any]] = {}
    for name in names:
        for option, field in registry.entry(name).options.model_fields.items():
            takers.setdefault(option, {})[name] = field.annotation
    return {option: _declare(option, found) for option, found in sorted(takers.items())}


def _declare(option: str, takers: dict[str, Any]) -> LiveParameter:
    kinds = [_kind(annotation) for annotation in takers.values()]
    kind, choices, _ = kinds[0]
    if any(other != kind for other, *_ in kinds):
        kind, choices = "any", None
    if any(other != choices for _, other, _ in kinds):
        choices = None
    return LiveParameter.model_validate(
        {
            "name": f"scheduler.{option}",
            "type": kind,
            "choices": choices,
            "nullable": any(nullable for *_, nullable in kinds),
            "read_back": "the scheduler",
            "description": (
                f"Option of {', '.join(sorted(takers))}. Beside `scheduler.name` it belongs to the "
                "new schedule; alone it changes the present one, whose clock goes on."
            ),
        }
    )


def _kind(annotation: Any) -> tuple[str, list[str] | None, bool]:
    """Type, choices, and whether null is one of the values."""
    members, nullable = [annotation], False
    if get_origin(annotation) in (Union, types.UnionType):
        members = [it for it in get_args(annotation) if it is not types.NoneType]
        nullable = len(members) < len(get_args(annotation))
    if len(members) == 1 and get_origin(members[0]) is Literal:
        choices = list(typing.get_args(members[0]))
        if all(isinstance(choice, str) for choice in choices):
            return "string", choices, nullable
    if len(members) == 1 and members[0] in _TYPES:
        return _TYPES[members[0]], None, nullable
    return "any", None, nullable


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
