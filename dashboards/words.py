"""Values as people read them."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where that is short; `—` where there is none."""
    if value is None:
        return "—"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    digits, power, exponent = f"{value:.4g}".partition("e")
    return f"{digits}e{int(exponent)}" if power else digits


def difference(value: float | None) -> str:
    """A number with its sign."""
    if value is None or not math.isfinite(value):
        return number(value)
    return "0" if value == 0 else f"{'+' if value > 0 else '-'}{number(abs(value))}"


def cell(value: JsonValue) -> JsonValue:
    """A value for a table: numbers, words and booleans as they are, lists and objects as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value)


def plain(value: JsonValue) -> str:
    """A value in a sentence."""
    return value if isinstance(value, str) else json.dumps(value)


def changes(values: Mapping[str, JsonValue]) -> str:
    """`optimizer.lr = 0.01, model.dropout = 0.1`."""
    return ", ".join(f"{name} = {plain(value)}" for name, value in values.items())


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def moment(at: datetime | None) -> str:
    """To the minute, in UTC."""
    return "—" if at is None else at.strftime("%Y-%m-%d %H:%M UTC")


def duration(time: timedelta) -> str:
    """`2 h 5 min`, `12 s`: the two largest units."""
    seconds = max(round(time.total_seconds()), 0)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2]) or "0 s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
