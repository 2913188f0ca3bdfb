"""Random changes to a batch of pictures, made where the batch is.

They draw from the device's own random stream, whose state every checkpoint holds: so a resumed
run augments exactly as it would have.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from midcourse.catalogue.registry import Registry

Augmentation = Callable[[Tensor], Tensor]
"""From uint8 pictures [N, C, H, W] to as many of the same shape."""

AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation", given=0)
"""Functions of one value, the one that the configuration sets: `{"shift": 2, "flip": true}`. Its
default, where it has one, is neutral: at it the pictures are left as they are."""


@AUGMENTATIONS.register("shift")
def shift(pixels: Annotated[int, Field(ge=0, le=512)] = 0) -> Augmentation:
    """Move each picture by up to so many pixels in each direction; black moves in."""

    def apply(images: Tensor) -> Tensor:
        if pixels == 0:
            return images
        count, channels, height, width = images.shape
        padded = functional.pad(images, (pixels,) * 4)
        corner = torch.randint(0, 2 * pixels + 1, (2, count, 1), device=images.device)
        rows = (corner[0] + torch.arange(height, device=images.device)).view(count, 1, height, 1)
        columns = (corner[1] + torch.arange(width, device=images.device)).view(count, 1, 1, width)
        picture = torch.arange(count, device=images.device).view(count, 1, 1, 1)
        channel = torch.arange(channels, device=images.device).view(1, channels, 1, 1)
        return padded[picture, channel, rows, columns]

    return apply


@AUGMENTATIONS.register("flip")
def flip(on: bool = False) -> Augmentation:
    """Mirror half of the pictures, left to right."""

    def apply(images: Tensor) -> Tensor:
        if not on:
            return images
        mirrored = torch.rand(len(images), device=images.device) < 0.5
        return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)

    return apply
