"""Pictures of test examples with captions: the worst mistakes, and what the model is surest of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COUNT = 12
"""Pictures of each sort."""

_SMALLEST_SIDE = 64
"""Smaller pictures are enlarged, pixel by pixel, so that one can see them on a screen."""


@dataclass(frozen=True)
class Examples:
    """Pictures as uint8 [N, C, H, W], C being 1 or 3, each with a caption."""

    pictures: Tensor
    captions: list[str]


def misclassified(
    images: Tensor, labels: Tensor, probabilities: Tensor, classes: Sequence[str]
) -> Examples:
    """The mistakes in which the true class seemed least likely, the worst first.

    Args:
        images: uint8 [N, C, H, W].
        labels: int64 [N] true classes.
        probabilities: [N, K].
        classes: names.
    """
    losses = _losses(labels, probabilities)
    wrong = (probabilities.argmax(dim=1) != labels).nonzero().flatten()
    order = losses[wrong].argsort(descending=True, stable=True)
    return _pick(wrong[order][:COUNT], images, labels, probabilities, losses, classes)


def lowest_loss(
    images: Tensor, labels: Tensor, probabilities: Tensor, classes: Sequence[str]
) -> Examples:
    """The pictures whose true class seemed most likely, the likeliest first."""
    losses = _losses(labels, probabilities)
    order = losses.argsort(stable=True)
    return _pick(order[:COUNT], images, labels, probabilities, losses, classes)


def _losses(labels: Tensor, probabilities: Tensor) -> Tensor:
    """[N] -log p(true class), whatever loss the model is trained with."""
    return -probabilities.gather(1, labels[:, None]).squeeze(1).log()


def _pick(
    index: Tensor,
    images: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    losses: Tensor,
    classes: Sequence[str],
) -> Examples:
    chosen = probabilities[index]
    captions = [
        f"true {classes[true]}, predicted {classes[predicted]} (p={p:.3f}), loss {loss:.3g}"
        for true, predicted, p, loss in zip(
            labels[index].tolist(),
            chosen.argmax(dim=1).tolist(),
            chosen.amax(dim=1).tolist(),
            losses[index].tolist(),
            strict=True,
        )
    ]
    return Examples(_enlarged(images[index.to(images.device)].cpu()), captions)


def _enlarged(pictures: Tensor) -> Tensor:
    channels, height, width = pictures.shape[1:]
    if channels not in (1, 3):
        pictures = pictures[:, :1]
    factor = -(-_SMALLEST_SIDE // min(height, width))
    if factor > 1:
        pictures = pictures.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return torch.as_tensor(pictures)
