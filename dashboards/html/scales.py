"""From values to places on an axis, and where its ticks stand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboards.words import number

_LARGEST: Final = 1e250
"""What is larger lies beyond the chart: with less room the arithmetic would overflow."""


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to places from `start` to `end`, in pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth of a pixel."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        part = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + part * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round values with their labels: from about three to seven, fewer where none is round."""
        values = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)
        return [(value, number(value)) for value in values]


def scale_over(
    values: Sequence[float], start: float, end: float, *, log: bool = False, zero: bool = False
) -> Scale:
    """A scale that holds all of some finite values with a little room.

    Args:
        values: of which those that are not above 0 have no place on a logarithmic scale.
        start: the place of the least.
        end: of the greatest.
        log: logarithmic; linear all the same where no value is above 0.
        zero: 0 is part of it.
    """
    positive = [_between(value, 1 / _LARGEST, _LARGEST) for value in values if value > 0]
    if log and positive:
        low, high = math.log10(min(positive)), math.log10(max(positive))
        if low == high:
            low, high = low - 0.3, high + 0.3  # half of it to twice as much
        room = (high - low) * 0.05
        return Scale(10 ** (low - room), 10 ** (high + room), start, end, log=True)
    values = [_between(value, -_LARGEST, _LARGEST) for value in values]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    room = (high - low) * 0.05
    bottom = low if zero and low == 0 else low - room
    return Scale(bottom, high if zero and high == 0 else high + room, start, end)


def _between(value: float, least: float, greatest: float) -> float:
    return min(max(value, least), greatest)


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 6
    if rough <= 0 or low + rough == low:
        return []
    power = 10.0 ** math.floor(math.log10(rough))
    size = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
    return [float(f"{index * size:.12g}") for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first <= 2:
        values = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
        inside = [value for value in values if low <= value <= high]
        return inside if len(inside) > 1 else _ticks(low, high)
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    every = math.ceil((last - first + 1) / 7)
    return [10.0**power for power in range(first, last + 1, every)]
