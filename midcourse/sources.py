"""A source over whatever data a user has, and what its own settings say."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler

from midcourse.data import DatasetSource, Source, TensorSource, refuse_data


def make_source(
    data: Any,
    *,
    seed: int,
    batch_size: int | None,
    num_workers: int,
    collate_fn: Callable[[list[Any]], Any] | None,
    pin_memory: bool = False,
) -> Source:
    """A source over what a user has: tensors, a map-style dataset, or a DataLoader.

    Args:
        data: what the user has.
        seed: the run's.
        batch_size: samples a batch, to begin with; a DataLoader brings its own.
        num_workers: processes that read a dataset.
        collate_fn: makes a batch of a dataset's samples.
        pin_memory: make a dataset's batches in memory that a GPU copies from by itself.

    Raises:
        InvalidInput: it cannot be taken in an order of ours, or the batch size is missing.
    """
    if isinstance(data, DataLoader):
        return _from_loader(data, seed, batch_size)
    if batch_size is None:
        raise refuse_data("batch_size", "must be given for tensors and datasets")
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise refuse_data("batch_size", f"must be a whole number of at least 1, not {batch_size!r}")
    if isinstance(data, torch.Tensor):
        data = (data,)
    if isinstance(data, tuple | list) and data and all(map(torch.is_tensor, data)):
        return TensorSource(data, batch_size)
    if isinstance(data, tuple) or (
        isinstance(data, list) and any(isinstance(part, np.ndarray) for part in data)
    ):
        kinds = ", ".join(sorted({type(part).__name__ for part in data})) or "nothing"
        raise refuse_data("data", f"holds {kinds}; make them tensors, such as by torch.from_numpy")
    if isinstance(data, IterableDataset | Mapping) or not (
        hasattr(data, "__getitem__") and hasattr(data, "__len__")
    ):
        raise refuse_data(
            "data",
            f"must be tensors, a map-style dataset or a DataLoader over one, not "
            f"{type(data).__name__}: only samples with an index can be resumed exactly",
        )
    options = {"num_workers": num_workers, "pin_memory": pin_memory}
    return DatasetSource(data, batch_size, seed, collate_fn, options)


def _from_loader(loader: "DataLoader[Any]", seed: int, batch_size: int | None) -> DatasetSource:
    if isinstance(loader.dataset, IterableDataset):
        raise refuse_data("data", "the DataLoader's dataset is iterable; it must be map-style")
    sampler: Any = loader.sampler
    dataset: Any = loader.dataset
    if (
        type(sampler) not in (RandomSampler, SequentialSampler)
        or type(loader.batch_sampler) is not BatchSampler
        or loader.batch_size is None
        or getattr(sampler, "replacement", False)
        or len(sampler) != len(dataset)
    ):
        raise refuse_data(
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
