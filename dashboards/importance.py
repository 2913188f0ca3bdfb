"""How strongly settings go with a metric, over runs: Spearman's rank correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboards.comparing import metric_value, value_of
from dashboards.panels import Column
from dashboards.records import Run

FEWEST_RUNS: Final = 4
"""Three runs are in some order by chance alone one time in three."""


@dataclass(frozen=True)
class Correlation:
    """One setting with a metric."""

    column: Column
    value: float
    """From -1 to 1, over the runs that have both."""
    runs: int


@dataclass(frozen=True)
class Ranking:
    """What could be ranked, the strongest first, and what could not."""

    correlations: list[Correlation]
    left_out: list[str]
    """Settings whose values are words, or are the same in all runs, or which too few runs have."""
    runs: int
    """How many runs have the metric."""


def rank(runs: Sequence[Run], columns: Sequence[Column], metric: str) -> Ranking:
    """The correlation of each numeric setting with the metric's best value.

    With fewer than `FEWEST_RUNS` runs nothing is ranked.
    """
    judged = [(run, value) for run in runs if (value := metric_value(run, metric)) is not None]
    judged = [(run, value) for run, value in judged if np.isfinite(value)]
    found, left_out = [], []
    for column in columns:
        pairs = [
            (float(setting), value)
            for run, value in judged
            if isinstance(setting := value_of(column, run), int | float)
        ]
        correlation = spearman(pairs) if len(pairs) >= FEWEST_RUNS else None
        if correlation is None:
            left_out.append(column.name)
        else:
            found.append(Correlation(column, correlation, len(pairs)))
    found.sort(key=lambda each: (-abs(each.value), each.column.name))
    return Ranking(found, left_out, len(judged))


def strongest(
    runs: Sequence[Run], columns: Sequence[Column], metric: str, at_most: int
) -> list[Column]:
    """The columns that go with a metric most, in the order given.

    Those that cannot be ranked come after those that can, as they stand.
    """
    places = [each.column for each in rank(runs, columns, metric).correlations]
    places += [column for column in columns if column not in places]
    return [column for column in columns if column in places[:at_most]]


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The correlation of the ranks, equal values sharing the mean of theirs.

    Returns:
        From -1 to 1; None where all settings, or all results, are equal.
    """
    ones, others = (_ranks(np.array(values)) for values in zip(*pairs, strict=True))
    if np.ptp(ones) == 0 or np.ptp(others) == 0:
        return None
    return float(np.corrcoef(ones, others)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return ranks
