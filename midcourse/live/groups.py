"""What an optimizer's param groups hold, and changing it without losing the groups' ratios.

`load_state_dict` replaces the group dicts, so no reference to a group is ever kept.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer

Group = dict[str, Any]


def copied(value: Any) -> Any:
    """A value that no longer shares tensors or plain containers with the first one."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, list):
        return [copied(item) for item in value]
    if type(value) is tuple:
        return tuple(copied(item) for item in value)
    if isinstance(value, dict):
        twin = value.copy()
        for key, item in value.items():  # a Counter's update would add
            twin[key] = copied(item)
        return twin
    return value


def options(group: Group) -> Group:
    """A copy of what a group holds beside its parameters."""
    return {key: copied(value) for key, value in group.items() if key != "params"}


def set_number(holder: Any, key: Any, number: float) -> None:
    """Set `holder[key]`, a float or a tensor; a tensor stays the same object."""
    if isinstance(holder[key], torch.Tensor):
        holder[key].fill_(number)
    else:
        holder[key] = number


def set_rates(optimizer: Optimizer, rates: Iterable[float]) -> None:
    """Set the rate of each group."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        set_number(group, "lr", rate)


def all_have(optimizer: Optimizer, *names: str) -> bool:
    """Whether every group has one of these options."""
    return all(any(name in group for name in names) for group in optimizer.param_groups)


def reference(values: Iterable[float]) -> int:
    """The index of the value that the others' ratios are to: the first that is not 0."""
    return next((index for index, value in enumerate(values) if value != 0), 0)


def in_ratio(old: list[float], value: float) -> list[float]:
    """`value` for the reference, and the others in their ratio to it.

    What is 0 stays 0, unless all are: then all become `value`.
    """
    first = reference(old)
    if old[first] == 0:
        return [value] * len(old)
    return [value if number == old[first] else value * (number / old[first]) for number in old]


def momentum(group: Group) -> float:
    """The momentum, or the first beta of optimizers that have betas."""
    return float(group["momentum"] if "momentum" in group else group["betas"][0])


def set_momentum(group: Group, value: float) -> None:
    """The inverse of `momentum`."""
    if "momentum" in group:
        group["momentum"] = value
    else:
        group["betas"] = (value, *group["betas"][1:])


def weight_decay(optimizer: Optimizer) -> float:
    """The weight decay of the first group that has any."""
    decays = [float(group["weight_decay"]) for group in optimizer.param_groups]
    return decays[reference(decays)]


def set_weight_decay(optimizer: Optimizer, value: float) -> None:
    """Set it in the ratios that the groups have; a group without any gets none."""
    decays = [float(group["weight_decay"]) for group in optimizer.param_groups]
    for group, new in zip(optimizer.param_groups, in_ratio(decays, value), strict=True):
        group["weight_decay"] = new
