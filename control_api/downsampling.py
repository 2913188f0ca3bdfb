"""A long series told by few of its points, so that nothing that a person looks for is lost.

The first and the last point are kept. Those between are cut into buckets of as many points each,
and of every bucket its least and its greatest finite value are kept, and the first of each kind
that is not finite, at the steps at which they were logged: no spike and no NaN is averaged away,
and nothing is shown that was not logged.
"""

import numpy as np
from numpy.typing import NDArray

from control_api.metric_points import Points, Values

LEAST_POINTS = 10
"""Fewer could not hold the two ends, and what one bucket may have: two extremes, NaN and both
infinities."""

Places = NDArray[np.intp]


def downsample(points: Points, at_most: int) -> Points:
    """At most so many of the points, ascending; all of them where they are no more than that.

    Args:
        points: the series.
        at_most: `LEAST_POINTS` or more.
    """
    if len(points) <= at_most:
        return points
    kept = _kept(points.values, at_most)
    return Points(points.steps[kept], points.values[kept])


def buckets(count: int, number: int) -> Places:
    """Where each of `number` buckets begins between the two ends of `count` points.

    Each has a point or more: `number` is at most `count - 2`.
    """
    return (1 + np.arange(number) * (count - 2) // number).astype(np.intp)


def _kept(values: Values, at_most: int) -> Places:
    """The places of what is kept, ascending."""
    inside = values.copy()
    inside[[0, -1]] = 0.0  # kept anyway, so not a bucket's concern
    finite = np.isfinite(inside)
    kinds = [] if finite.all() else [np.isnan(inside), inside == np.inf, inside == -np.inf]
    kinds = [kind for kind in kinds if kind.any()]
    starts = buckets(len(values), (at_most - 2) // (2 + len(kinds)))
    lengths = np.diff([*starts, len(values) - 1])
    ends = np.array([0, len(values) - 1])
    extremes = [
        finite & _is_extreme(inside, finite, starts, lengths, greatest=greatest)
        for greatest in (False, True)
    ]
    return np.unique(
        np.concatenate([ends, *(_first_of_each(kind, starts) for kind in (*extremes, *kinds))])
    )


def _is_extreme(
    values: Values, finite: NDArray[np.bool_], starts: Places, lengths: Places, *, greatest: bool
) -> NDArray[np.bool_]:
    """Which values are the extreme of their bucket."""
    worst = -np.inf if greatest else np.inf
    comparable = values if finite.all() else np.where(finite, values, worst)
    reduce = np.maximum if greatest else np.minimum
    extreme = np.zeros(len(values), np.bool_)
    of_each = reduce.reduceat(comparable[:-1], starts)
    extreme[1:-1] = comparable[1:-1] == np.repeat(of_each, lengths)
    return extreme


def _first_of_each(wanted: NDArray[np.bool_], starts: Places) -> Places:
    """The first wanted place of each bucket that has one; the two ends are in no bucket."""
    places = np.flatnonzero(wanted[:-1])
    following = np.searchsorted(places, starts)
    some = following < len(places)
    first, stops = places[following[some]], np.append(starts[1:], len(wanted) - 1)[some]
    return first[first < stops]
