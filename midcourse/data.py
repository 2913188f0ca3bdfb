"""Which samples come when: an order that is a pure function of (seed, epoch), and a cursor.

The cursor counts samples, not batches, so a position survives crashes, forks and changes of the
batch size without replaying a loader. What a dataset draws at random for a sample (augmentation,
say) is a function of (seed, epoch, sample) alone, whichever worker makes it.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torch.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler

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

    def __len__(self) -> int:
        """How many samples an epoch has, those of a dropped last batch not counted."""

    def batches(self, epoch: int, order: Sequence[int] | torch.Tensor) -> Iterator[Any]:
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
            raise _refuse("data", "tensors must have a first dimension, that of the samples")
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise _refuse("data", f"tensors must be of one length, not {sorted(lengths)}")
        self.tensors = tuple(tensors)
        self.batch_size = batch_size
        self._length = lengths.pop()

    def __len__(self) -> int:
        return self._length

    def batches(
        self, epoch: int, order: Sequence[int] | torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        """Rows in order; nothing random happens here."""
        del epoch
        device = self.tensors[0].device
        indices = torch.as_tensor(order).to(device)
        for start in range(0, len(indices), self.batch_size):
            chunk = indices[start : start + self.batch_size]
            yield tuple(tensor.index_select(0, chunk) for tensor in self.tensors)


class DatasetSource:
    """A map-style dataset, read through torch's DataLoader with our order."""

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

    def __len__(self) -> int:
        return len(self.dataset)

    def batches(self, epoch: int, order: Sequence[int] | torch.Tensor) -> Iterator[Any]:
        """Batches as the loader's `collate_fn` makes them."""
        indices = torch.as_tensor(order).tolist()
        chunks = [
            indices[start : start + self.batch_size]
            for start in range(0, len(indices), self.batch_size)
        ]
        loader: DataLoader[Any] = DataLoader(
            _SeededDataset(self.dataset, self._seed, epoch),
            batch_sampler=chunks,
            collate_fn=self._collate_fn,
            generator=torch.Generator().manual_seed(0),  # else it draws from the global one
            **self._options,
        )
        with undisturbed():
            batches = iter(loader)
        while True:
            with undisturbed():  # without workers, samples are made here
                batch = next(batches, _END)
            if batch is _END:
                return
            yield batch


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


def make_source(
    data: Any,
    *,
    seed: int,
    batch_size: int | None,
    num_workers: int,
    collate_fn: Callable[[list[Any]], Any] | None,
) -> Source:
    """A source over what a user has: tensors, a map-style dataset, or a DataLoader.

    Raises:
        InvalidInput: it cannot be taken in an order of ours, or the batch size is missing.
    """
    if isinstance(data, DataLoader):
        return _from_loader(data, seed, batch_size)
    if batch_size is None:
        raise _refuse("batch_size", "must be given for tensors and datasets")
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise _refuse("batch_size", f"must be a whole number of at least 1, not {batch_size!r}")
    if isinstance(data, torch.Tensor):
        data = (data,)
    if isinstance(data, tuple | list) and data and all(map(torch.is_tensor, data)):
        return TensorSource(data, batch_size)
    if isinstance(data, tuple) or (
        isinstance(data, list) and any(isinstance(part, np.ndarray) for part in data)
    ):
        kinds = ", ".join(sorted({type(part).__name__ for part in data})) or "nothing"
        raise _refuse("data", f"holds {kinds}; make them tensors, such as by torch.from_numpy")
    if isinstance(data, IterableDataset | Mapping) or not (
        hasattr(data, "__getitem__") and hasattr(data, "__len__")
    ):
        raise _refuse(
            "data",
            f"must be tensors, a map-style dataset or a DataLoader over one, not "
            f"{type(data).__name__}: only samples with an index can be resumed exactly",
        )
    return DatasetSource(data, batch_size, seed, collate_fn, {"num_workers": num_workers})


def _from_loader(loader: "DataLoader[Any]", seed: int, batch_size: int | None) -> DatasetSource:
    if isinstance(loader.dataset, IterableDataset):
        raise _refuse("data", "the DataLoader's dataset is iterable; it must be map-style")
    sampler: Any = loader.sampler
    dataset: Any = loader.dataset
    if (
        type(sampler) not in (RandomSampler, SequentialSampler)
        or type(loader.batch_sampler) is not BatchSampler
        or loader.batch_size is None
        or getattr(sampler, "replacement", False)
        or len(sampler) != len(dataset)
    ):
        raise _refuse(
            "data",
            "the DataLoader has a sampler of its own; Midcourse decides the order, so that it can "
            "be resumed: give the dataset, or a loader with shuffle=True or False",
        )
    options = {
        "num_workers": loader.num_workers,
        "pin_memory": loader.pin_memory,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
    }
    if loader.num_workers:
        options["prefetch_factor"] = loader.prefetch_factor
    return DatasetSource(
        loader.dataset, batch_size or loader.batch_size, seed, loader.collate_fn, options
    )


def shuffles(data: Any, shuffle: bool | None) -> bool:
    """Whether the order is random: what was asked for, else what a DataLoader was made with."""
    if shuffle is not None:
        return shuffle
    return not (isinstance(data, DataLoader) and isinstance(data.sampler, SequentialSampler))


def drops_last(data: Any, drop_last: bool | None) -> bool:
    """Whether an incomplete last batch is dropped, likewise."""
    if drop_last is not None:
        return drop_last
    return bool(isinstance(data, DataLoader) and data.drop_last)


def _refuse(path: str, message: str) -> InvalidInput:
    return InvalidInput([Fault(path=path, message=message)])
