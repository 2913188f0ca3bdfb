"""Torch's losses by name, in registries of those that can take each other's place.

Two losses can where a program calls both alike: with outputs of the same meaning, and with targets
of the same kind. To have one's own among them, register it; its options are then read back from
attributes of the same names:

    from midcourse.catalogue.losses import OF_CLASSES

    @OF_CLASSES.register("focal")
    class Focal(nn.Module):
        def __init__(self, *, gamma: float = 2.0) -> None: ...
"""

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from midcourse.catalogue.registry import Registry

OF_CLASSES: Registry[nn.Module] = Registry("loss", given=0)
"""Modules of logits [N, K, …] and class numbers [N, …]."""

OF_FLAGS: Registry[nn.Module] = Registry("loss", given=0)
"""Modules of logits and targets from 0 to 1, both [N, K]: each class for itself is there or not."""

OF_VALUES: Registry[nn.Module] = Registry("loss", given=0)
"""Modules of outputs and targets of the same shape."""

LOSSES = {"classes": OF_CLASSES, "flags": OF_FLAGS, "values": OF_VALUES}
"""All of them, by the targets that they take."""

Weights = list[Annotated[float, Field(ge=0)]]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]

_HIDDEN = ("size_average", "reduce", "reduction")
"""How the program uses the loss: no matter of choice, and a swap keeps it."""

if TYPE_CHECKING:
    _Loss = nn.Module
else:
    _Loss = object


class _OneHot(_Loss):
    """Gives a loss that compares arrays the classes as one-hot rows."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of the logits [N, K, …] and the labels [N, …]."""
        target = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
        loss: Tensor = super().forward(logits, target)
        return loss


# -- of class numbers --------------------------------------------------------------------------


@OF_CLASSES.register("cross_entropy", alias="CrossEntropyLoss", of=nn.CrossEntropyLoss)
def cross_entropy(
    *, label_smoothing: float = 0.0, weight: Weights | None = None
) -> nn.CrossEntropyLoss:
    """Cross entropy of the classes; `weight` may give each class its own."""
    return nn.CrossEntropyLoss(weight=_tensor(weight), label_smoothing=label_smoothing)


@OF_CLASSES.register("multi_margin", alias="MultiMarginLoss", of=nn.MultiMarginLoss)
def multi_margin(
    *,
    p: Annotated[int, Field(ge=1, le=2)] = 1,
    margin: float = 1.0,
    weight: Weights | None = None,
) -> nn.MultiMarginLoss:
    """Hinge loss: the true class must lead each other one by the margin."""
    return nn.MultiMarginLoss(p=p, margin=margin, weight=_tensor(weight))


@OF_CLASSES.register(
    "bce_with_logits", alias="BCEWithLogitsLoss", hidden=(*_HIDDEN, "weight", "pos_weight")
)
class OneHotBCEWithLogitsLoss(_OneHot, nn.BCEWithLogitsLoss):
    """Binary cross entropy of each class on its own."""


@OF_CLASSES.register("mse", alias="MSELoss", hidden=_HIDDEN)
class OneHotMSELoss(_OneHot, nn.MSELoss):
    """Mean squared distance of the outputs from the one-hot classes."""


@OF_CLASSES.register("l1", alias="L1Loss", hidden=_HIDDEN)
class OneHotL1Loss(_OneHot, nn.L1Loss):
    """Mean absolute distance of the outputs from the one-hot classes."""


@OF_CLASSES.register("smooth_l1", alias="SmoothL1Loss")
class OneHotSmoothL1Loss(_OneHot, nn.SmoothL1Loss):
    """Squared below `beta`, absolute above, from the one-hot classes."""

    def __init__(self, *, beta: NotNegative = 1.0) -> None:
        super().__init__(beta=beta)


@OF_CLASSES.register("huber", alias="HuberLoss")
class OneHotHuberLoss(_OneHot, nn.HuberLoss):
    """Squared below `delta`, linear above, from the one-hot classes."""

    def __init__(self, *, delta: Positive = 1.0) -> None:
        super().__init__(delta=delta)


# -- of flags ----------------------------------------------------------------------------------


@OF_FLAGS.register("bce_with_logits", alias="BCEWithLogitsLoss", of=nn.BCEWithLogitsLoss)
def bce_with_logits(
    *, weight: Weights | None = None, pos_weight: Weights | None = None
) -> nn.BCEWithLogitsLoss:
    """Binary cross entropy; `pos_weight` counts what is there more than what is not."""
    return nn.BCEWithLogitsLoss(weight=_tensor(weight), pos_weight=_tensor(pos_weight))


@OF_FLAGS.register(
    "multi_label_soft_margin", alias="MultiLabelSoftMarginLoss", of=nn.MultiLabelSoftMarginLoss
)
def multi_label_soft_margin(*, weight: Weights | None = None) -> nn.MultiLabelSoftMarginLoss:
    """The mean over the classes of their binary cross entropies."""
    return nn.MultiLabelSoftMarginLoss(weight=_tensor(weight))


# -- of values ---------------------------------------------------------------------------------

OF_VALUES.register("mse", alias="MSELoss", hidden=_HIDDEN, summary="Mean squared distance.")(
    nn.MSELoss
)
OF_VALUES.register("l1", alias="L1Loss", hidden=_HIDDEN, summary="Mean absolute distance.")(
    nn.L1Loss
)


@OF_VALUES.register("smooth_l1", alias="SmoothL1Loss", of=nn.SmoothL1Loss)
def smooth_l1(*, beta: NotNegative = 1.0) -> nn.SmoothL1Loss:
    """Squared below `beta`, absolute above."""
    return nn.SmoothL1Loss(beta=beta)


@OF_VALUES.register("huber", alias="HuberLoss", of=nn.HuberLoss)
def huber(*, delta: Positive = 1.0) -> nn.HuberLoss:
    """Squared below `delta`, linear above."""
    return nn.HuberLoss(delta=delta)


def _tensor(numbers: list[float] | None) -> Tensor | None:
    return None if numbers is None else torch.tensor(numbers)
