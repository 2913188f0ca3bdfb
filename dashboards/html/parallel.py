"""Parallel coordinates as SVG: a line for each run through its settings to its result."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from dashboards.comparing import value_of
from dashboards.html.scales import Scale, scale_over
from dashboards.html.source import Source
from dashboards.panels import Column, ParallelCoordinates
from dashboards.words import number, plain

WIDTH, HEIGHT = 1160, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 90, 40, 16
_MUCH = 50.0
"""An axis of positive numbers that spans more than this factor is logarithmic."""
_LONGEST = 24


@dataclass(frozen=True)
class Axis:
    """One column."""

    x: float
    title: str
    ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class RunLine:
    """One run."""

    points: str
    colour: str
    run: int
    text: str


@dataclass(frozen=True)
class ParallelView:
    """What the template draws."""

    axes: list[Axis]
    lines: list[RunLine]
    notes: list[str]
    summary: str


def draw_parallel(panel: ParallelCoordinates, source: Source) -> ParallelView:
    """The chart of a panel; a run that lacks a value is left out, and told."""
    columns = panel.columns
    values = {run.id: [value_of(each, run) for each in columns] for run in source.of(panel.runs)}
    whole = {run: row for run, row in values.items() if all(_has_place(value) for value in row)}
    apart = (WIDTH - LEFT - RIGHT) / (len(columns) - 1)
    axes, places = [], []
    for index, column in enumerate(columns):
        at = round(LEFT + apart * index, 1)
        ticks, place = _axis([row[index] for row in whole.values()])
        axes.append(Axis(at, _title(column), ticks))
        places.append((at, place))
    lines = [
        RunLine(
            points=" ".join(
                f"{at:g},{place[_key(value)]:g}"
                for (at, place), value in zip(places, row, strict=True)
            ),
            colour=source.colour(run),
            run=source.index(run),
            text=f"{source.label(run)}: {_in_words(columns, row)}",
        )
        for run, row in whole.items()
    ]
    missing = [source.label(run) for run in values if run not in whole]
    notes = [f"Left out, as not all of these are known of them: {', '.join(missing)}."]
    return ParallelView(
        axes, lines, notes if missing else [], "; ".join(line.text for line in lines)
    )


def _axis(values: Sequence[JsonValue]) -> tuple[list[tuple[float, str]], dict[str, float]]:
    """Ticks of an axis, and the place of each value on it."""
    low, high = HEIGHT - BOTTOM, TOP
    numbers = [value for value in values if _is_number(value)]
    if values and len(numbers) == len(values):
        floats = [float(value) for value in numbers if isinstance(value, int | float)]
        wide = min(floats) > 0 and max(floats) / min(floats) > _MUCH
        scale = scale_over(floats, low, high, log=wide)
        ticks = [(scale(value), label) for value, label in scale.ticks]
        return ticks, {_key(value): scale(float(value)) for value in numbers}  # type: ignore[arg-type]
    words = list(dict.fromkeys(_key(value) for value in values))
    scale = Scale(-0.5, max(len(words) - 0.5, 0.5), low, high)
    places = {word: scale(float(index)) for index, word in enumerate(words)}
    return [(place, _short(word)) for word, place in places.items()], places


def _key(value: JsonValue) -> str:
    return plain(value)


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_place(value: JsonValue) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _title(column: Column) -> str:
    return f"best {column.name}" if column.source == "metric" else column.name


def _in_words(columns: Sequence[Column], row: Sequence[JsonValue]) -> str:
    return ", ".join(
        f"{column.name} {number(value) if isinstance(value, float) else plain(value)}"
        for column, value in zip(columns, row, strict=True)
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
