"""Pictures for the run log: arrays in, PNG files in the run's media folder out."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from midcourse.contract.media import ImageFile, ImageFiles


@dataclass(frozen=True)
class Images:
    """A row of pictures to log.

    Each is uint8 of shape (H, W), (H, W, 1) or (H, W, 3), or (1, H, W) or (3, H, W).
    """

    pictures: Sequence[Any]
    captions: Sequence[str] = field(default_factory=tuple)
    """One a picture, or none at all."""

    def __post_init__(self) -> None:
        if self.captions and len(self.captions) != len(self.pictures):
            raise ValueError(f"{len(self.pictures)} pictures have {len(self.captions)} captions")


def save_images(images: Images, folder: Path, media: Path, name: str, step: int) -> ImageFiles:
    """Write the pictures as PNG files below `media`.

    Returns:
        Their record, with paths relative to `folder`.
    """
    media.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60]
    if slug != name:  # `a/b` and `a-b` are two names
        slug += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    files = []
    captions = images.captions or [""] * len(images.pictures)
    for index, (picture, caption) in enumerate(zip(images.pictures, captions, strict=True)):
        path = media / f"{slug}-{step}-{index}.png"
        _to_pil(picture).save(path)
        files.append(ImageFile(path=path.relative_to(folder).as_posix(), caption=caption))
    return ImageFiles(images=files)


def _to_pil(picture: Any) -> Image.Image:
    array = picture.cpu().numpy() if isinstance(picture, torch.Tensor) else np.asarray(picture)
    if array.dtype != np.uint8:
        raise ValueError(f"a picture must be uint8, not {array.dtype}")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"a picture must be (H, W), (H, W, 1) or (H, W, 3), not {array.shape}")
    return Image.fromarray(np.ascontiguousarray(array))
