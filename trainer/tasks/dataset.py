"""Labelled pictures in memory, and the registry of data sets."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midcourse.catalogue.registry import Registry
from midcourse.contract.errors import MidcourseError

DATASETS: Registry["Dataset"] = Registry("dataset", given=1)
"""Functions of the folder that holds the home's data."""

TEST_SHARE = 0.2
"""What is set aside for testing where a data set has no split of its own."""


class DataUnavailable(MidcourseError):
    """The data is not there and cannot be fetched, or it is not what it should be."""


@dataclass(frozen=True)
class Dataset:
    """Pictures as uint8 tensors [N, C, H, W], their classes as int64 [N]."""

    name: str
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    mean: Tensor
    """[C, 1, 1] Of each channel over the training pictures, on a scale of 0 to 1; so is `std`."""
    std: Tensor
    digest: str
    """sha256 over classes, pictures and labels, in hexadecimal."""

    @classmethod
    def of(
        cls,
        name: str,
        classes: Sequence[str],
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
    ) -> "Dataset":
        """Check (images, labels) for training and test, and measure the channels.

        Raises:
            ValueError: a tensor has not the type or shape above, or a label has no class.
        """
        for part, (images, labels) in (("training", train), ("test", test)):
            _check_part(f"the {part} part of {name}", images, labels, len(classes))
        if train[0].shape[1:] != test[0].shape[1:]:
            raise ValueError(f"the training and test pictures of {name} differ in shape")
        mean, std = _channel_statistics(train[0])
        digest = _digest(classes, (*train, *test))
        return cls(name, tuple(classes), *train, *test, mean, std, digest)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def to(self, device: torch.device) -> "Dataset":
        """The same data with its tensors on a device."""
        tensors: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if torch.is_tensor(value)
        }
        return replace(self, **tensors)

    def with_statistics_on(self, device: torch.device) -> "Dataset":
        """The same data, its pictures where they were; what `normalized` needs is on a device."""
        return replace(self, mean=self.mean.to(device), std=self.std.to(device))

    @property
    def bytes(self) -> int:
        """The size of all its pictures and labels."""
        parts = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return sum(part.nbytes for part in parts)

    def normalized(self, images: Tensor) -> Tensor:
        """What a model is fed: float32, each channel with mean 0 and deviation 1 over the data."""
        return (images.float() / 255 - self.mean) / self.std


def stratified_split(labels: np.ndarray, test_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and test, the same on every machine; each class gives its share.

    A class of one picture is not tested; a larger one is trained and tested with at least one.
    """
    random = np.random.RandomState(0)  # its stream is frozen for all versions of numpy
    train, test = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = round(test_share * len(members))
        count = min(max(count, 1), len(members) - 1)
        test.append(members[:count])
        train.append(members[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def data_folder(root: Path) -> Path:
    """The folder for downloads, made if it is not there.

    Raises:
        DataUnavailable: it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataUnavailable(f"cannot make the data folder {root}: {error.strerror}") from None
    return root


def _check_part(what: str, images: Tensor, labels: Tensor, classes: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            f"{what} must have uint8 pictures [N, C, H, W], not {images.dtype} {list(images.shape)}"
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{what} must have int64 labels [{len(images)}], "
            f"not {labels.dtype} {list(labels.shape)}"
        )
    if len(images) == 0:
        raise ValueError(f"{what} has no pictures")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"{what} has a label outside its {classes} classes")


def _digest(classes: Sequence[str], parts: Sequence[Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(list(classes)).encode())
    for part in parts:
        digest.update(f"{part.dtype} {list(part.shape)}".encode())
        digest.update(part.cpu().contiguous().numpy().view(np.uint8).data)
    return digest.hexdigest()


def _channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """[C, 1, 1] mean and standard deviation of each channel, from exact counts of its values."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.zeros(256, dtype=torch.float64)
        for start in range(0, len(images), 10_000):  # bincount widens what it counts to 64 bits
            part = images[start : start + 10_000, channel]
            counts += torch.bincount(part.flatten(), minlength=256)
        share = counts / counts.sum()
        mean = float((share * values).sum())
        variance = float((share * (values - mean) ** 2).sum())
        means.append(mean)
        deviations.append(variance**0.5 or 1.0)  # a channel of one colour stays as it is
    return torch.tensor(means).view(-1, 1, 1), torch.tensor(deviations).view(-1, 1, 1)
