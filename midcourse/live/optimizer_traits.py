"""What single optimizers of torch ask for, which no signature says."""

import torch
from torch.optim import Optimizer, RMSprop, Rprop


def check_momentum(optimizer: Optimizer, value: float) -> None:
    """Whether the optimizer works with a momentum.

    Raises:
        ValueError: Nesterov's form needs some.
    """
    if value == 0 and any(group.get("nesterov") for group in optimizer.param_groups):
        raise ValueError("must be above 0 with nesterov")


def make_momentum_buffers(optimizer: Optimizer) -> None:
    """Let an RMSprop that began without momentum have some: it never makes the buffers later."""
    if not isinstance(optimizer, RMSprop):
        return
    for state in optimizer.state.values():
        if state and "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(state["square_avg"])


def check_rate_is_read(optimizer: Optimizer) -> None:
    """Whether a new learning rate will have an effect.

    Raises:
        ValueError: it will not.
    """
    if isinstance(optimizer, Rprop) and optimizer.state:
        raise ValueError(
            "has no effect any more: Rprop reads it once, for the size of each weight's first step"
        )
