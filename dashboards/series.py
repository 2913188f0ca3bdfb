"""A metric's values along a run, and a long series told by few of its points."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """`values[i]` was logged at `steps[i]`; steps ascend, each once. Values may be non-finite."""

    steps: Steps
    values: Values
    times: Values = field(default_factory=lambda: np.empty(0))
    """Seconds since 1970 at which each was logged; empty where that is not known."""

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, first: int | None = None, last: int | None = None) -> "Series":
        """The part from step `first` to step `last`, both included; None: no bound."""
        start = 0 if first is None else int(np.searchsorted(self.steps, first, "left"))
        stop = len(self) if last is None else int(np.searchsorted(self.steps, last, "right"))
        return self._at(slice(start, stop))

    @classmethod
    def none(cls) -> "Series":
        """The series of a metric that was never logged."""
        return cls(np.empty(0, np.int64), np.empty(0))

    @property
    def finite(self) -> "Series":
        """The part whose values are numbers; NaN and the infinities are left out."""
        return self._at(np.isfinite(self.values))

    @property
    def last(self) -> float | None:
        """The value logged last, finite or not; None where there is none."""
        return float(self.values[-1]) if len(self) else None

    def best(self, direction: int) -> tuple[float, int] | None:
        """The best finite value and the step at which it was first reached; None: there is none.

        Args:
            direction: 1 where higher is better, -1 where lower is.
        """
        finite = self.finite
        if not len(finite) or not direction:
            return None
        place = int(np.argmax(direction * finite.values))
        return float(finite.values[place]), int(finite.steps[place])

    def thinned(self, at_most: int) -> "Series":
        """At most so many of the points, all of them where they are no more.

        The two ends stay, and of every bucket between them the least and the greatest finite
        value and the first that is not finite: no spike and no NaN is lost, and nothing is shown
        that was not logged.

        Args:
            at_most: 5 or more: the ends, and what one bucket may have.
        """
        if len(self) <= at_most:
            return self
        edges = np.linspace(1, len(self) - 1, (at_most - 2) // 3 + 1).astype(int)
        kept = {0, len(self) - 1}
        for start, stop in pairwise(edges):
            kept.update(start + place for place in _remarkable(self.values[start:stop]))
        return self._at(np.array(sorted(kept)))

    def _at(self, places: "slice | NDArray[np.intp] | NDArray[np.bool_]") -> "Series":
        times = self.times[places] if len(self.times) else self.times
        return Series(self.steps[places], self.values[places], times)


def _remarkable(values: Values) -> set[int]:
    """The places of the least and the greatest finite value, and of the first non-finite one."""
    finite = np.isfinite(values)
    places = set()
    if finite.any():
        places |= {int(np.where(finite, values, np.inf).argmin())}
        places |= {int(np.where(finite, values, -np.inf).argmax())}
    if not finite.all():
        places.add(int(finite.argmin()))
    return places


def as_said(steps: Sequence[int], values: Sequence[float], times: Sequence[float] = ()) -> Series:
    """A series from points in the order in which they were said; of a step said twice, the first.

    A restarted run says again what it said before, so the first value is the one that stands.
    """
    said = Series(
        np.array(steps, np.int64), np.array(values, np.float64), np.array(times, np.float64)
    )
    if np.all(said.steps[1:] > said.steps[:-1]):
        return said  # as nearly always, and a sort of a million would be felt
    _, first = np.unique(said.steps, return_index=True)
    return said._at(first)
