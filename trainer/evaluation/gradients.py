"""The size of each layer's gradient."""

import torch
from torch import Tensor, nn


def gradient_norms(model: nn.Module) -> dict[str, Tensor]:
    """`grad_norm/<layer>` for each layer with a gradient, as 0-dim tensors on the device.

    One call measures all tensors, and nothing waits for the device. Weights without gradient
    (frozen ones) are left out.
    """
    named = [
        (name.rpartition(".")[0] or name, parameter.grad.detach())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    ]
    if not named:
        return {}
    layers: dict[str, list[Tensor]] = {}
    norms = torch._foreach_norm([gradient for _, gradient in named])
    for (layer, _), norm in zip(named, norms, strict=True):
        layers.setdefault(layer, []).append(norm.float())
    return {
        f"grad_norm/{layer}": torch.linalg.vector_norm(torch.stack(parts))
        for layer, parts in layers.items()
    }
