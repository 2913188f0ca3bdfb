"""A run's loss with its interventions drawn into it: what a tracker shows as one chart."""

import math
from collections.abc import Mapping
from typing import Final

from midcourse.contract.base import Record
from midcourse.contract.names import Metric

CHART: Final = "loss_with_interventions"
_MOST_POINTS = 500
_MOST_MARKS = 20


class Mark(Record):
    """An intervention at its step."""

    step: int
    label: str


class MarkedCurve(Record):
    """One metric by step, and what was done to the run meanwhile."""

    metric: str
    steps: list[int]
    values: list[float]
    marks: list[Mark]


class CurveKeeper:
    """Gathers a chart from a run's rows: a function of them alone, however often it is asked.

    Of a long run every second, fourth, … point is kept, so that it stays small.
    """

    def __init__(self) -> None:
        self._curves: dict[str, _Thinned] = {}
        self._marks: dict[int, Mark] = {}

    def see(self, step: int, values: Mapping[str, float]) -> None:
        """Take the losses of a row."""
        for name, value in values.items():
            if _is_loss(name) and math.isfinite(value):
                self._curves.setdefault(name, _Thinned()).add(step, value)

    def mark(self, seq: int, step: int, label: str) -> None:
        """An intervention acted."""
        self._marks[seq] = Mark(step=step, label=f"{seq}: {label}")

    def chart(self) -> MarkedCurve | None:
        """As it stands; None where there is no loss yet, or nothing was done to the run."""
        if not self._curves or not self._marks:
            return None
        metric = min(self._curves, key=lambda name: (name != Metric.TRAIN_LOSS, name))
        curve = self._curves[metric]
        marks = sorted(self._marks.values(), key=lambda mark: mark.step)[-_MOST_MARKS:]
        return MarkedCurve(metric=metric, steps=curve.steps, values=curve.values, marks=marks)


class _Thinned:
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._stride = 1
        self._seen = 0

    def add(self, step: int, value: float) -> None:
        if self._seen % self._stride == 0:
            self.steps.append(step)
            self.values.append(value)
        self._seen += 1
        if len(self.steps) == _MOST_POINTS:
            self.steps, self.values = self.steps[::2], self.values[::2]
            self._stride *= 2


def _is_loss(name: str) -> bool:
    words = name.lower().replace("/", "_").split("_")
    return "loss" in words and "batch" not in words
