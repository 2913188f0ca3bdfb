"""Curves as SVG, and the same points as data for the script that makes them move."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboards.html.curve_lines import MOST_LINES, Line, in_words, lines_of, notes_of
from dashboards.html.markers import Marker, markers_of
from dashboards.html.scales import Scale, scale_over
from dashboards.html.source import Source
from dashboards.panels import Curves
from dashboards.series import Series

WIDTH, HEIGHT = 560, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 14, 34
"""The template and the script know them too."""

MOST_MARKERS: Final = 40


@dataclass(frozen=True)
class Mark:
    """A vertical line at a step."""

    step: int
    x: float
    colour: str
    run: int
    text: str


@dataclass(frozen=True)
class CurvesView:
    """What the template draws."""

    lines: list[tuple[Line, str]]
    """Each with its path."""
    marks: list[Mark]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str
    notes: list[str]
    has_legend: bool
    """Of its own; else the page's says which line is whose."""
    data: dict[str, Any]
    """For the script, as JSON."""


def draw_curves(panel: Curves, source: Source) -> CurvesView:
    """The chart of a panel."""
    found = lines_of(panel, source)
    lines = found[:MOST_LINES]
    notes = _left_out(len(found), len(lines), "lines are not drawn")
    x = _steps_scale(lines, panel.from_step)
    y = _values_scale(lines, log=panel.log_y)
    notes += notes_of(lines, log=y.log)
    every_mark = _marks(panel, source, x)
    marks = every_mark[:MOST_MARKERS]
    notes += _left_out(len(every_mark), len(marks), "interventions are not marked")
    return CurvesView(
        lines=[(line, path_of(line.series, x, y, held=panel.held)) for line in lines],
        marks=marks,
        x_ticks=[(x(value), label) for value, label in x.ticks],
        y_ticks=[(y(value), label) for value, label in y.ticks],
        summary=in_words(panel.title, lines),
        notes=notes,
        has_legend=not source.has_many_runs,
        data=_data(panel, lines, marks),
    )


def path_of(series: Series, x: Scale, y: Scale, *, held: bool) -> str:
    """An SVG path that breaks where a value is not finite, or has no place on the scale."""
    parts: list[str] = []
    pen_down = False
    for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
        if not math.isfinite(value) or (y.log and value <= 0):
            pen_down = False
            continue
        across, up = x(step), y(value)
        if not pen_down:
            parts.append(f"M{across:g},{up:g}h0")  # a point alone is seen, by its round cap
        else:
            parts.append(f"H{across:g}V{up:g}" if held else f"L{across:g},{up:g}")
        pen_down = True
    return "".join(parts)


def _steps_scale(lines: Sequence[Line], from_step: int | None) -> Scale:
    low = min((int(line.series.steps[0]) for line in lines), default=0)
    high = max((int(line.series.steps[-1]) for line in lines), default=1)
    if from_step is not None:
        low = max(from_step, 0)
    if high <= low:
        low, high = low - 1, low + 1
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def _values_scale(lines: Sequence[Line], *, log: bool) -> Scale:
    finite = [line.series.finite.values for line in lines]
    positive = [values[values > 0] for values in finite] if log else []
    shown = positive if any(map(len, positive)) else finite
    ends = [float(end) for values in shown if len(values) for end in (values.min(), values.max())]
    return scale_over(ends, HEIGHT - BOTTOM, TOP, log=log)


def _marks(panel: Curves, source: Source, x: Scale) -> list[Mark]:
    if not panel.markers:
        return []
    return [
        Mark(
            marker.step,
            x(marker.step),
            source.colour(run.id) if source.has_many_runs else "neutral",
            source.index(run.id),
            _whose(marker, source),
        )
        for run in source.of(panel.runs)
        for marker in markers_of(run)
        if x.low <= marker.step <= x.high
    ]


def _whose(marker: Marker, source: Source) -> str:
    return f"{source.label(marker.run)}, {marker.text}" if source.has_many_runs else marker.text


def _left_out(there: int, shown: int, what: str) -> list[str]:
    return [f"{there - shown} of {there} {what}."] if there > shown else []


def _data(panel: Curves, lines: Sequence[Line], marks: Sequence[Mark]) -> dict[str, Any]:
    return {
        "log": panel.log_y,
        "held": panel.held,
        "from": panel.from_step,
        "lines": [
            {
                "label": line.label,
                "colour": line.colour,
                "run": line.run,
                "steps": line.series.steps.tolist(),
                "values": [_rounded(value) for value in line.series.values.tolist()],
            }
            for line in lines
        ],
        "markers": [
            {"step": mark.step, "run": mark.run, "colour": mark.colour, "text": mark.text}
            for mark in marks
        ],
    }


def _rounded(value: float) -> float | None:
    """To six digits, which no eye tells from all; JSON has no word for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
