"""Taking live objects back to how they were, to the bit, whatever class they have had since.

Kept are the objects' attributes and plain containers. Of the optimizer's moments, which are as
large as the model, only the references: no change writes into them, it replaces them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from midcourse.live.groups import copied

Restore = Callable[[], None]


def keep_optimizer(optimizer: Optimizer) -> Restore:
    """A function that gives an optimizer its present class, groups, state and wrapped step."""
    kind, attributes = type(optimizer), dict(vars(optimizer))
    state = optimizer.state
    entries = {key: (entry, dict(entry)) for key, entry in state.items()}
    param_groups = optimizer.param_groups
    members = [(group, dict(group), copied(_without_params(group))) for group in param_groups]

    def restore() -> None:
        optimizer.__class__ = kind
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        state.clear()
        for key, (entry, content) in entries.items():
            entry.clear()
            entry.update(content)
            state[key] = entry
        for group, content, values in members:
            group.clear()
            group.update(content)
            for key, value in copied(values).items():
                if isinstance(value, torch.Tensor):
                    group[key].copy_(value)
                else:
                    group[key] = value

    return restore


def _without_params(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def keep_scheduler(scheduler: Any) -> Restore:
    """A function that gives a scheduler and its members their present class and attributes.

    What is no torch scheduler is never changed, so there is nothing to give back.
    """
    if not isinstance(scheduler, LRScheduler):
        return lambda: None
    kind, attributes = type(scheduler), _kept(scheduler)
    members = [keep_scheduler(member) for member in getattr(scheduler, "_schedulers", [])]

    def restore() -> None:
        scheduler.__class__ = kind
        vars(scheduler).clear()
        vars(scheduler).update(copied(attributes))
        for restore_member in members:
            restore_member()

    return restore


def _kept(scheduler: LRScheduler) -> dict[str, Any]:
    return {key: copied(value) for key, value in vars(scheduler).items()}
