"""The points of one metric, as arrays: steps that ascend, each once, and a value for each."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]
Values = NDArray[np.float64]

_STEP = np.dtype("<i8")
_VALUE = np.dtype("<f8")


@dataclass(frozen=True, eq=False)
class Points:
    """`values[i]` was logged at `steps[i]`; both have the same length."""

    steps: Steps
    values: Values

    def __len__(self) -> int:
        return len(self.steps)

    def part(self, start: int, stop: int | None = None) -> "Points":
        """Those at some places, as a slice has them."""
        return Points(self.steps[start:stop], self.values[start:stop])

    def between(self, first: int | None, last: int | None) -> "Points":
        """Those of the steps from `first` to `last`, both included; None: no bound."""
        start = 0 if first is None else int(np.searchsorted(self.steps, first, "left"))
        stop = None if last is None else int(np.searchsorted(self.steps, last, "right"))
        return self.part(start, stop)

    def without(self, others: "Points") -> "Points":
        """Those whose steps the others do not have."""
        new = ~np.isin(self.steps, others.steps, assume_unique=True)
        return self if new.all() else Points(self.steps[new], self.values[new])


NONE = Points(np.empty(0, np.int64), np.empty(0, np.float64))


def as_said(steps: Iterable[int], values: Iterable[float]) -> Points:
    """Points in any order, in which they were said; of a step said twice, the first value."""
    return _first_of_each(Points(np.array([*steps], np.int64), np.array([*values], np.float64)))


def merged(parts: list[Points]) -> Points:
    """All points of all parts; of a step that several have, the value of the earliest part."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return NONE
    if len(parts) == 1:
        return parts[0]
    steps = np.concatenate([part.steps for part in parts])
    return _first_of_each(Points(steps, np.concatenate([part.values for part in parts])))


def _first_of_each(said: Points) -> Points:
    if np.all(said.steps[1:] > said.steps[:-1]):
        return said  # as nearly always, and a sort of a million would be felt
    steps, first = np.unique(said.steps, return_index=True)
    return Points(steps, said.values[first])


def pack(points: Points) -> tuple[bytes | None, bytes]:
    """Steps and values as bytes, eight each, little-endian; steps that are evenly apart are None.

    Most are: then the first, the last and the count say them all.
    """
    steps = points.steps
    even = steps.size < 3 or bool(np.all(np.diff(steps) == steps[1] - steps[0]))
    return (
        None if even else steps.astype(_STEP).tobytes(),
        points.values.astype(_VALUE).tobytes(),
    )


def unpack(
    first_step: int, last_step: int, count: int, steps: bytes | None, values: bytes
) -> Points:
    """The inverse of `pack`."""
    if steps is None:
        stride = (last_step - first_step) // (count - 1) if count > 1 else 1
        unpacked = first_step + stride * np.arange(count, dtype=np.int64)
    else:
        unpacked = np.frombuffer(steps, _STEP).astype(np.int64, copy=False)
    return Points(unpacked, np.frombuffer(values, _VALUE).astype(np.float64, copy=False))
