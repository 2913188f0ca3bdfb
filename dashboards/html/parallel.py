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
NONE, NONE_ROOM = "none", 34
"""Where runs cross an axis on which they have no value: at its foot, apart from the scale."""
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
    """The chart of a panel; a run that has no result, which is the last column, is left out."""
    columns = panel.columns
    values = {run.id: [value_of(each, run) for each in columns] for run in source.of(panel.runs)}
    shown = {run: row for run, row in values.items() if _has_value(row[-1])}
    apart = (WIDTH - LEFT - RIGHT) / (len(columns) - 1)
    axes, places = [], []
    for index, column in enumerate(columns):
        at = round(LEFT + apart * index, 1)
        ticks, place = _axis([row[index] for row in shown.values()])
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
        for run, row in shown.items()
    ]
    missing = ", ".join(source.label(run) for run in values if run not in shown)
    notes = [f"Left out, as they have no {columns[-1].name} yet: {missing}."] if missing else []
    return ParallelView(axes, lines, notes, "; ".join(line.text for line in lines))


def _axis(values: Sequence[JsonValue]) -> tuple[list[tuple[float, str]], dict[str | None, float]]:
    """Ticks of an axis, and the place of each value on it; None stands for having none."""
    there = [value for value in values if _has_value(value)]
    low, high = HEIGHT - BOTTOM, TOP
    if len(there) == len(values):
        return _scaled(there, low, high)
    ticks, places = _scaled(there, low - NONE_ROOM, high)
    return [*ticks, (low, NONE)], {**places, None: low}


def _scaled(
    values: Sequence[JsonValue], low: float, high: float
) -> tuple[list[tuple[float, str]], dict[str | None, float]]:
    """Of values that are there: a scale of numbers, or a place for each word."""
    numbers = [value for value in values if isinstance(value, int | float) and _is_number(value)]
    if numbers and len(numbers) == len(values):
        wide = min(numbers) > 0 and max(numbers) / min(numbers) > _MUCH
        scale = scale_over([float(value) for value in numbers], low, high, log=wide)
        ticks = [(scale(value), label) for value, label in scale.ticks]
        return ticks, {_key(value): scale(float(value)) for value in numbers}
    words = list(dict.fromkeys(plain(value) for value in values))
    scale = Scale(-0.5, max(len(words) - 0.5, 0.5), low, high)
    places: dict[str | None, float] = {word: scale(float(i)) for i, word in enumerate(words)}
    return [(places[word], _short(word)) for word in words], places


def _key(value: JsonValue) -> str | None:
    return plain(value) if _has_value(value) else None


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_value(value: JsonValue) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _title(column: Column) -> str:
    return f"best {column.name}" if column.source == "metric" else column.name


def _in_words(columns: Sequence[Column], row: Sequence[JsonValue]) -> str:
    return ", ".join(
        f"{column.name} {_in_a_word(value)}" for column, value in zip(columns, row, strict=True)
    )


def _in_a_word(value: JsonValue) -> str:
    if value is None:
        return NONE
    return number(value) if isinstance(value, float) else plain(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
