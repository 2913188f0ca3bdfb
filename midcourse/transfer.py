"""Batches on their way to a device: the next one travels while the present one is worked on."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch

_END = object()


def moved_ahead(batches: Iterator[Any], device: torch.device | None) -> Generator[Any, None, None]:
    """The same batches with their tensors on a device.

    On a GPU the copies run beside the computation, on a stream of their own; from pinned memory
    they do not wait for each other either.

    Args:
        batches: tensors, or mappings, lists and tuples of them.
        device: where to; None leaves them where they are.
    """
    if device is None:
        yield from batches
    elif device.type != "cuda":
        for batch in batches:
            yield _moved(batch, device)
    else:
        yield from _beside(batches, device)


def _beside(batches: Iterator[Any], device: torch.device) -> Generator[Any, None, None]:
    copying: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def fetch() -> Any:
        batch = next(batches, _END)
        if batch is _END:
            return batch
        with torch.cuda.stream(copying):
            return _moved(batch, device)

    coming = fetch()
    while coming is not _END:
        working = torch.cuda.current_stream(device)
        working.wait_stream(copying)
        batch = coming
        for tensor in _tensors(batch):
            # Its memory must not be given to the next copy before the work on it is done.
            tensor.record_stream(working)
        coming = fetch()
        yield batch


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_moved(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(_moved(value, device) for value in batch)
    return batch


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, list | tuple):
        for value in batch:
            yield from _tensors(value)
