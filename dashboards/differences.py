"""A fork beside the run it comes from: the same metrics, from the step at which they parted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dashboards.records import Run
from dashboards.series import Series
from midcourse.contract.directions import direction
from midcourse.contract.media import Bars

Verdict = Literal["better", "worse", "equal", "not comparable"]


@dataclass(frozen=True)
class MetricDifference:
    """One metric of a child and of its parent, after the step at which they parted."""

    metric: str
    direction: int
    """1 where higher is better, -1 where lower is, 0 where the name does not say."""
    common_step: int | None
    """The last step after the branch at which both logged a finite value; None: there is none."""
    at_common: tuple[float, float] | None
    """Child's and parent's values at that step."""
    final: tuple[float | None, float | None]
    """The last values of both, each at its own last step."""
    best: tuple[float | None, float | None]
    """The best values of both after the branch; None where no direction is known."""

    @property
    def change(self) -> float | None:
        """How much more the child has than its parent at the common step."""
        return None if self.at_common is None else self.at_common[0] - self.at_common[1]

    @property
    def verdict(self) -> Verdict:
        """How the child does at the common step, by the metric's direction."""
        if self.change is None or not self.direction:
            return "not comparable"
        if self.change == 0:
            return "equal"
        return "better" if self.change * self.direction > 0 else "worse"


@dataclass(frozen=True)
class ClassDifference:
    """One class of a bar chart of both runs."""

    label: str
    child: float | None
    parent: float | None


def metric_differences(
    child: Run, parent: Run, metrics: Sequence[str], after: int
) -> list[MetricDifference]:
    """The metrics that both logged after a step, in the order given.

    Args:
        child: the fork.
        parent: the run that it comes from.
        metrics: which to compare.
        after: the last step that they share.
    """
    found = []
    for metric in metrics:
        ours, theirs = _since(child, metric, after), _since(parent, metric, after)
        if len(ours) and len(theirs):
            found.append(_difference(metric, ours, theirs))
    return found


def class_differences(child: Run, parent: Run, media: str) -> list[ClassDifference]:
    """The newest bars of both under a name, label by label; [] where one has none."""
    ours, theirs = _bars(child, media), _bars(parent, media)
    if not ours or not theirs:
        return []
    return [
        ClassDifference(label, ours.get(label), theirs.get(label)) for label in {**theirs, **ours}
    ]


def _difference(metric: str, ours: Series, theirs: Series) -> MetricDifference:
    sign = direction(metric)
    common, at_common = _last_common(ours.finite, theirs.finite)
    return MetricDifference(
        metric=metric,
        direction=sign,
        common_step=common,
        at_common=at_common,
        final=(ours.last, theirs.last),
        best=(_best(ours, sign), _best(theirs, sign)),
    )


def _last_common(ours: Series, theirs: Series) -> tuple[int | None, tuple[float, float] | None]:
    """The last step that both have, with both values."""
    _, mine, other = np.intersect1d(
        ours.steps, theirs.steps, assume_unique=True, return_indices=True
    )
    if not len(mine):
        return None, None
    place, there = mine[-1], other[-1]
    return int(ours.steps[place]), (float(ours.values[place]), float(theirs.values[there]))


def _since(run: Run, metric: str, after: int) -> Series:
    series = run.series.get(metric)
    return series.between(first=after + 1) if series is not None else Series.none()


def _best(series: Series, sign: int) -> float | None:
    found = series.best(sign)
    return None if found is None else found[0]


def _bars(run: Run, media: str) -> dict[str, float]:
    kept = run.media.get(media)
    if not kept or not isinstance(kept[-1].media, Bars):
        return {}
    bars = kept[-1].media
    return dict(zip(bars.labels, bars.values, strict=False))
