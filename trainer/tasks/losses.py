"""Losses of torch by name: modules of logits [N, K] and class numbers [N] that give one number."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainer.tasks.registry import Registry

LOSSES: Registry[nn.Module] = Registry("loss", given=0)


@LOSSES.register("cross_entropy", alias="CrossEntropyLoss")
def cross_entropy(
    *, label_smoothing: float = 0.0, weight: list[float] | None = None
) -> nn.CrossEntropyLoss:
    """Cross entropy of the classes; `weight` may give each class its own."""
    given = None if weight is None else torch.tensor(weight)
    return nn.CrossEntropyLoss(weight=given, label_smoothing=label_smoothing)


@LOSSES.register("multi_margin", alias="MultiMarginLoss")
def multi_margin(
    *,
    p: Annotated[int, Field(ge=1, le=2)] = 1,
    margin: float = 1.0,
    weight: list[float] | None = None,
) -> nn.MultiMarginLoss:
    """Hinge loss: the true class must lead each other one by the margin."""
    given = None if weight is None else torch.tensor(weight)
    return nn.MultiMarginLoss(p=p, margin=margin, weight=given)


@LOSSES.register("bce_with_logits", alias="BCEWithLogitsLoss")
def bce_with_logits() -> nn.Module:
    """Binary cross entropy of each class on its own."""
    return OneHot(nn.BCEWithLogitsLoss())


@LOSSES.register("mse", alias="MSELoss")
def mse() -> nn.Module:
    """Mean squared distance of the outputs from the one-hot classes."""
    return OneHot(nn.MSELoss())


@LOSSES.register("l1", alias="L1Loss")
def l1() -> nn.Module:
    """Mean absolute distance of the outputs from the one-hot classes."""
    return OneHot(nn.L1Loss())


@LOSSES.register("smooth_l1", alias="SmoothL1Loss")
def smooth_l1(*, beta: Annotated[float, Field(ge=0)] = 1.0) -> nn.Module:
    """Squared below `beta`, absolute above, from the one-hot classes."""
    return OneHot(nn.SmoothL1Loss(beta=beta))


@LOSSES.register("huber", alias="HuberLoss")
def huber(*, delta: Annotated[float, Field(gt=0)] = 1.0) -> nn.Module:
    """Squared below `delta`, linear above, from the one-hot classes."""
    return OneHot(nn.HuberLoss(delta=delta))


class OneHot(nn.Module):
    """Gives a loss that compares arrays the classes as one-hot rows."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The inner loss of the logits and the one-hot labels."""
        target = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
        loss: Tensor = self.inner(logits, target)
        return loss
