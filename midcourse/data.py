"""Which samples come when: an order that is a pure function of (seed, epoch), and a cursor.

The cursor counts samples, not batches, so a position survives crashes, forks and changes of the
batch size without replaying a loader. What a dataset draws at random for a sample (augmentation,
say) is a function of (seed, epoch, sample) alone, whichever worker makes it.
"""

import hashlib
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.rng import undisturbed


@dataclass
class Cursor:
    """Where in the data the next step begins."""

    epoch: int = 0
    samples: int = 0
    """Taken from this epoch's order so far."""


class Source(Protocol):
    """Data that can be taken in any order."""

    batch_size: int
    """Samples in a batch; a change counts from the next call of `batches` on."""

    def __len__(self) -> int:
        """How many samples there are."""

    def batches(
        self, epoch: int, order: Sequence[int] | torch.Tensor
    ) -> Generator[Any, None, None]:
        """Batches over `order`, the sample indices that are left of the epoch."""


def sub_seed(*parts: int | str) -> int:
    """A 63-bit seed from its parts; the same everywhere and for ever, unlike `hash()`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def epoch_order(seed: int, epoch: int, length: int, shuffle: bool) -> torch.Tensor:
    """The order of the samples of one epoch: int64, shape (length,)."""
    if not shuffle:
        return torch.arange(length)
    generator = torch.Generator().manual_seed(sub_seed(seed, "order", epoch))
    return torch.randperm(length, generator=generator)


class TensorSource:
    """Tensors of equal length, on any device; a batch is a tuple of their rows."""

    def __init__(self, tensors: Sequence[torch.Tensor], batch_size: int) -> None:
        if any(tensor.ndim == 0 for tensor in tensors):
            raise refuse_data("data", "tensors must have a first dimension, that of the samples")
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise refuse_data("data", f"tensors must be of one length, not {sorted(lengths)}")
        self.tensors = tuple(tensors)
        self.batch_size = batch_size
        self._length = lengths.pop()

    def __len__(self) -> int:
        return self._length

    def batches(
        self, epoch: int, order: Sequence[int] | torch.Tensor
    ) -> Generator[tuple[torch.Tensor, ...], None, None]:
        """Rows in order; nothing random happens here."""
        del epoch
        size = self.batch_size
        device = self.tensors[0].device
        indices = torch.as_tensor(order).to(device)
        for start in range(0, len(indices), size):
            chunk = indices[start : start + size]
            yield tuple(tensor.index_select(0, chunk) for tensor in self.tensors)


class DatasetSource:
    """A map-style dataset, read through torch's DataLoader with our order.

    A dataset that says `draws_nothing = True` gives a sample that is always the same. It is then
    not seeded for each sample, may read many at once (`__getitems__`), and its workers live on from
    epoch to epoch.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        seed: int,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        loader_options: dict[str, Any] | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self._seed = seed
        self._collate_fn = collate_fn
        self._options = loader_options or {}
        self._chunks: list[list[int]] = []
        self._lasting: DataLoader[Any] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def batches(
        self, epoch: int, order: Sequence[int] | torch.Tensor
    ) -> Generator[Any, None, None]:
        """Batches as the loader's `collate_fn` makes them."""
        indices, size = torch.as_tensor(order).tolist(), self.batch_size
        chunks = [indices[start : start + size] for start in range(0, len(indices), size)]
        if getattr(self.dataset, "draws_nothing", False):
            self._chunks[:] = chunks
            loader = self._lasting = self._lasting or self._load(self.dataset, self._chunks)
        else:
            loader = self._load(_SeededDataset(self.dataset, self._seed, epoch), chunks)
        with undisturbed():
            batches = iter(loader)  # which makes lasting workers drop what they read ahead
        while True:
            with undisturbed():  # without workers, samples are made here
                batch = next(batches, _END)
            if batch is _END:
                return
            yield batch

    def _load(self, dataset: Any, chunks: list[list[int]]) -> "DataLoader[Any]":
        lasting = dataset is self.dataset and self._options.get("num_workers", 0) > 0
        return DataLoader(
            dataset,
            batch_sampler=chunks,
            collate_fn=self._collate_fn,
            generator=torch.Generator().manual_seed(0),  # else it draws from the global one
            persistent_workers=lasting,
            **self._options,
        )


_END = object()


class _SeededDataset(Dataset[Any]):
    """Seeds the generators for each sample, in whichever process reads it."""

    def __init__(self, dataset: Any, seed: int, epoch: int) -> None:
        self._dataset = dataset
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        seed = sub_seed(self._seed, "sample", self._epoch, index)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        return self._dataset[index]


def refuse_data(path: str, message: str) -> InvalidInput:
    """The error of data that cannot be used."""
    return InvalidInput([Fault(path=path, message=message)])
