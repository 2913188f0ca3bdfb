"""A run's metrics as points of small inline drawings."""

import math
from dataclasses import dataclass
from typing import Any

from wandb_server.history import sample
from wandb_server.runs import Run

WIDTH, HEIGHT = 320, 120
POINTS = 500


@dataclass(frozen=True)
class Curve:
    """One metric against the step, scaled to `WIDTH` by `HEIGHT`; `points` is what SVG takes."""

    name: str
    points: str
    least: float
    greatest: float
    last: float


def curves(run: Run) -> list[Curve]:
    """A curve for each metric that has a finite number."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in run.rows:
        step = row.get("_step", 0)
        for name, value in row.items():
            if not name.startswith("_") and _is_finite(value):
                found.setdefault(name, []).append((step, value))
    return [_curve(name, sample(values, POINTS)) for name, values in sorted(found.items())]


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _curve(name: str, values: list[tuple[float, float]]) -> Curve:
    steps, heights = [step for step, _ in values], [value for _, value in values]
    least, greatest = min(heights), max(heights)
    points = " ".join(
        f"{_scaled(step, steps[0], steps[-1]) * WIDTH:.1f},"
        f"{(1 - _scaled(value, least, greatest)) * HEIGHT:.1f}"
        for step, value in values
    )
    return Curve(name, points, least, greatest, heights[-1])


def _scaled(value: float, begin: float, end: float) -> float:
    return 0.5 if end == begin else (value - begin) / (end - begin)
