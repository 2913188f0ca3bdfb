"""In which type is computed: float32, or half of it where that is safe. Weights stay in float32."""

import torch
from torch import Tensor
from torch.optim import Optimizer

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The types beside `fp32`, by name."""


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Within it, torch computes in this precision where that is safe."""
    return torch.autocast(device.type, HALVES.get(precision), enabled=precision in HALVES)


class LossScaler:
    """Keeps small gradients from vanishing in fp16: the loss goes up, its gradients come down.

    A run tracks it whatever the precision is, as that may change: its state says how far the loss
    is scaled. Where a gradient overflows, that step leaves the weights alone, and the next ones
    scale less. It is a step all the same: of the run, and of the schedule.
    """

    def __init__(self, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type)

    def backward(self, loss: Tensor, optimizer: Optimizer, precision: str) -> None:
        """Add the gradients of a loss, at their true size; without effect if no weight trains."""
        if not loss.requires_grad:
            return
        if precision != "fp16":
            torch.autograd.backward(loss)
            return
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.unscale_(optimizer)

    def step(self, loss: Tensor, optimizer: Optimizer, precision: str) -> None:
        """Step the optimizer, in fp16 only if all gradients are finite; then forget them."""
        if precision == "fp16" and loss.requires_grad:
            self._scaler.step(optimizer)
            self._scaler.update()
            # Schedulers warn if the optimizer was never called before them; it may never have been.
            optimizer._opt_called = True  # type: ignore[attr-defined]
        else:
            optimizer.step()
        optimizer.zero_grad()

    def state_dict(self) -> dict[str, float]:
        """The scale, and what moves it."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self._scaler.load_state_dict(state)
