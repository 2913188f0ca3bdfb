"""Curves as text: a few rows of blocks, one column for each point."""

import math
from collections.abc import Sequence

from midcourse.cli.printing import number
from midcourse.contract.api.metrics import Series

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def chart(values: Sequence[float | str], width: int, height: int) -> list[str]:
    """Rows of text, the uppermost first; the last values where there are more than fit.

    A value that is not finite is a `!` at the foot of its column.
    """
    shown = (
        [float(value) for value in values][-width:] if len(values) <= width else _fit(values, width)
    )
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    rows = [""] * height
    for value in shown:
        if not math.isfinite(value):
            column = ["!"] + [" "] * (height - 1)
        else:
            share = 0.5 if high == low else value / (high - low) - low / (high - low)
            filled = 1 + round(share * (height * 8 - 1))
            column = [_EIGHTHS[min(max(filled - 8 * row, 0), 8)] for row in range(height)]
        rows = [row + column[height - 1 - place] for place, row in enumerate(rows)]
    return rows


def _fit(values: Sequence[float | str], width: int) -> list[float]:
    """So many values: of each stretch the one that lies farthest from the stretch's first."""
    fitted = []
    for column in range(width):
        start, end = column * len(values) // width, (column + 1) * len(values) // width
        stretch = [float(value) for value in values[start:end]]
        odd = [value for value in stretch if not math.isfinite(value)]
        fitted.append(odd[0] if odd else max(stretch, key=lambda value: abs(value - stretch[0])))
    return fitted


def curve(name: str, series: Series, width: int, height: int) -> list[str]:
    """A chart under a line that says what it shows."""
    if not series.steps:
        return [f"{name}  nothing logged yet"]
    finite = [float(value) for value in series.values if math.isfinite(float(value))]
    told = f"  {number(min(finite))} to {number(max(finite))}" if finite else ""
    head = (
        f"{name}  {number(series.values[-1])}{told}  "
        f"(steps {series.steps[0]} to {series.steps[-1]})"
    )
    return [head, *chart(series.values, width, height)]
