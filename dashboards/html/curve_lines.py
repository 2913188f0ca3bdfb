"""Which lines a chart of curves has, and what is to be said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dashboards.html.colours import colour
from dashboards.html.source import Source
from dashboards.panels import Curves
from dashboards.series import Series
from dashboards.words import counted

MOST_LINES: Final = 40


@dataclass(frozen=True, eq=False)
class Line:
    """One metric of one run."""

    label: str
    colour: str
    run: int
    """Its place on the page: the page's legend shows and hides by it."""
    series: Series


def lines_of(panel: Curves, source: Source) -> list[Line]:
    """Run by run, in the order of the page; a line is of its run's colour where there are many."""
    found: list[Line] = []
    for run in source.of(panel.runs):
        index = source.index(run.id)
        for metric in panel.metrics:
            series = run.series.get(metric, Series.none())
            if panel.from_step is not None:
                series = series.between(first=max(panel.from_step, 0))
            if len(series):
                label = _label(run.id, metric, panel, source)
                shade = colour(index if source.has_many_runs else len(found))
                found.append(Line(label, shade, index, series.thinned(source.points)))
    return found


def notes_of(lines: Sequence[Line], *, log: bool) -> list[str]:
    """What the chart does not show of the lines, in words."""
    notes = [note for line in lines if (note := _gaps(line))]
    hidden = [line for line in lines if np.any(line.series.finite.values <= 0)]
    if log and hidden:
        have = counted(len(hidden), "line has", "lines have")
        notes.append(f"{have} values of 0 or less, which a logarithmic scale cannot show.")
    return notes


def in_words(title: str, lines: Sequence[Line]) -> str:
    """A chart for those who do not see it."""
    told = "; ".join(
        f"{line.label} from {line.series.values[0]:.4g} at step {line.series.steps[0]} "
        f"to {line.series.values[-1]:.4g} at step {line.series.steps[-1]}"
        for line in lines[:8]
    )
    more = f"; and {len(lines) - 8} more lines" if len(lines) > 8 else ""
    return f"{title} over the steps: {told}{more}."


def _label(run_id: str, metric: str, panel: Curves, source: Source) -> str:
    if not source.has_many_runs:
        return metric
    name = source.label(run_id)
    return name if len(panel.metrics) == 1 else f"{name}: {metric}"


def _gaps(line: Line) -> str | None:
    missing = ~np.isfinite(line.series.values)
    if not missing.any():
        return None
    first = int(line.series.steps[int(missing.argmax())])
    return (
        f"{line.label}: not finite (NaN or infinite) from step {first} on, in places; "
        "shown as gaps."
    )
