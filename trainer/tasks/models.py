"""The bundled models, and the registry of models.

A model takes normalized pictures, float32 [N, C, H, W], and gives logits [N, classes].
"""

from typing import Annotated

from pydantic import Field
from torch import nn

from midcourse.catalogue.registry import Registry

MODELS: Registry[nn.Module] = Registry("model", given=2)
"""Functions of the pictures' shape (C, H, W) and the number of classes."""

Width = Annotated[int, Field(ge=1, le=65_536)]


@MODELS.register("cnn")
def cnn(
    shape: tuple[int, int, int],
    classes: int,
    *,
    dropout: float = 0.3,
    hidden: Annotated[int, Field(ge=0, le=65_536)] = 0,
) -> nn.Module:
    """Two 3x3 convolutions of 32 and 64 filters with max-pooling, dropout, one dense layer.

    `hidden` units, if any, form another dense layer before it.
    """
    channels, height, width = shape
    if min(height, width) < 4:
        raise ValueError(f"cnn needs pictures of at least 4x4 pixels, not {height}x{width}")
    size = 64 * (height // 4) * (width // 4)
    between = [nn.Linear(size, hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        *between,
        nn.Linear(hidden or size, classes),
    )


@MODELS.register("mlp")
def mlp(
    shape: tuple[int, int, int],
    classes: int,
    *,
    width: Width = 256,
    depth: Annotated[int, Field(ge=0, le=64)] = 2,
    dropout: float = 0.3,
) -> nn.Module:
    """A perceptron: `depth` hidden layers of `width` units with dropout, one dense layer."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = shape[0] * shape[1] * shape[2]
    for _ in range(depth):
        layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(dropout)]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, classes))
