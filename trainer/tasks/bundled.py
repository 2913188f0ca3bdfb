"""Data sets that need no network: scikit-learn's handwritten digits, and made-up pictures."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trainer.tasks.dataset import DATASETS, TEST_SHARE, Dataset, stratified_split

Count = Annotated[int, Field(ge=1, le=10_000_000)]
Side = Annotated[int, Field(ge=1, le=2048)]


@DATASETS.register("digits")
def digits(root: Path) -> Dataset:  # noqa: ARG001 - it comes with scikit-learn
    """1,797 handwritten digits of 8x8 pixels, from scikit-learn; a fifth is for testing."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images = torch.from_numpy(np.rint(bundle.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(bundle.target.astype(np.int64))
    train, test = stratified_split(bundle.target, TEST_SHARE)
    return Dataset.of(
        "digits",
        [str(name) for name in bundle.target_names],
        (images[train], labels[train]),
        (images[test], labels[test]),
    )


@DATASETS.register("fake")
def fake(
    root: Path,  # noqa: ARG001 - nothing is read
    *,
    classes: Annotated[int, Field(ge=2, le=10_000)] = 10,
    train_size: Count = 512,
    test_size: Count = 128,
    channels: Annotated[int, Field(ge=1, le=16)] = 1,
    image_size: Side = 16,
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
) -> Dataset:
    """Random pictures: a pattern for each class under noise, the same for the same seed."""
    random = torch.Generator().manual_seed(seed)
    shape = (channels, image_size, image_size)
    patterns = torch.randint(0, 256, (classes, *shape), generator=random)

    def pictures(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % classes
        noise = torch.randint(0, 256, (count, *shape), generator=random)
        return ((patterns[labels] + noise) // 2).to(torch.uint8), labels

    names = [str(label) for label in range(classes)]
    return Dataset.of("fake", names, pictures(train_size), pictures(test_size))
