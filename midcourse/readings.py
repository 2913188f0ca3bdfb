"""Readings: device values that the loop hands over, and that are fetched later, many at a time.

`stack` costs the loop one copy on the device for all values of a step and never waits for it;
`fetch` is for another thread, and brings many such copies to the host in one transfer each device.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any

import torch

_dtype_of = attrgetter("dtype")
_REAL = frozenset(
    {
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    }
)

_is_on_cpu = attrgetter("is_cpu")
_number_of: Callable[[torch.Tensor], Any] = torch.Tensor.tolist

Reading = tuple[torch.Tensor, torch.cuda.Stream | None]
"""Values that nobody changes any more: 0-dim or 1-dim, and the CUDA stream that makes them."""


def numbers_at_hand(tensors: Collection[torch.Tensor]) -> tuple[float, ...] | None:
    """The numbers that 0-dim tensors hold, if all of them are in the host's memory; else None.

    Reading them costs a third of copying them, and there is no device to wait for. `tolist` looks
    into the memory, where `item` would go through torch's dispatcher, of which nothing is in the
    caches any more after the work of a training step.
    """
    if not all(map(_is_on_cpu, tensors)):
        return None
    try:
        return tuple(map(float, map(_number_of, tensors)))
    except (TypeError, RuntimeError):  # no single real number; or only a proxy of one
        return None


def reading(values: torch.Tensor) -> Reading:
    """A tensor of one's own as a reading; call it on the thread and stream that made it."""
    return values, torch.cuda.current_stream(values.device) if values.is_cuda else None


def stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """One copy of tensors that hold one number each, all of one type and on one device.

    Returns:
        A 1-dim tensor, cut off from any graph; None if they differ or hold more.
    """
    dtypes = set(map(_dtype_of, tensors))
    # Types that differ would be brought to one, and int64 to float32 is not exact.
    if len(dtypes) != 1 or not dtypes <= _REAL:
        return None
    try:
        stacked = torch.stack(tensors)  # type: ignore[arg-type]  # a tuple will do
    except (TypeError, RuntimeError):  # shapes or devices differ
        return None
    if stacked.requires_grad:
        stacked = stacked.detach()
    if stacked.ndim == 1:
        return stacked
    return stacked.reshape(-1) if stacked.numel() == len(tensors) else None


def copy_each(tensors: Sequence[torch.Tensor]) -> tuple[Reading, ...]:
    """Copies of tensors of one element each, in their order: together if that can be, or singly."""
    if len(tensors) > 1 and (stacked := stack(tensors)) is not None:
        return (reading(stacked),)
    copies = [tensor.detach().clone() for tensor in tensors]
    return tuple([reading(copy if copy.ndim < 2 else copy.reshape(1)) for copy in copies])


def fetch(readings: Sequence[Reading]) -> list[float]:
    """The numbers of all readings, one reading's after the other's.

    There is one transfer for each device, stream, type and number of dimensions.
    """
    groups: dict[Any, list[int]] = {}
    for index, (values, stream) in enumerate(readings):
        key = (values.ndim, values.dtype, values.device, stream)
        groups.setdefault(key, []).append(index)
    if len(groups) == 1:
        return _numbers([values for values, _ in readings], readings[0][1])
    found: list[list[float]] = [[]] * len(readings)
    for (*_, stream), indices in groups.items():
        parts = [readings[index][0] for index in indices]
        numbers = iter(_numbers(parts, stream))
        for index, part in zip(indices, parts, strict=True):
            found[index] = list(islice(numbers, part.numel()))
    return list(chain.from_iterable(found))


def _numbers(parts: list[torch.Tensor], stream: torch.cuda.Stream | None) -> list[float]:
    numbers: list[float] = _to_host(parts, stream).to(torch.float64).tolist()
    return numbers


def _to_host(parts: list[torch.Tensor], stream: torch.cuda.Stream | None) -> torch.Tensor:
    join = torch.cat if parts[0].ndim == 1 else torch.stack
    if stream is None:
        return join(parts).cpu()
    # On the stream that made them, so that they are made before they are read. The wait is for an
    # event, on this thread alone: `torch.cuda.set_sync_debug_mode`, by which people look for waits
    # in their loop, finds none here.
    with torch.cuda.stream(stream):
        joined = join(parts)
        host = torch.empty(joined.shape, dtype=joined.dtype, device="cpu", pin_memory=True)
        host.copy_(joined, non_blocking=True)
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        copied.record(stream)
    copied.synchronize()
    return host
