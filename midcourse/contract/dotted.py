"""Dotted names for what is nested: `optimizer.lr` for `{"optimizer": {"lr": …}}`."""

from collections.abc import Mapping

from pydantic import JsonValue


def flat(values: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    """`{"optimizer": {"lr": 1}}` as `{"optimizer.lr": 1}`; lists and empty objects stay whole."""
    result: dict[str, JsonValue] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def nested(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """`{"optimizer.lr": 1}` as `{"optimizer": {"lr": 1}}`.

    A name that is both a value and a prefix (`a` and `a.b`) stays whole, with its dot.
    """
    result: dict[str, JsonValue] = {}
    for name in sorted(values):
        *path, last = name.split(".")
        place: JsonValue = result
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[last] = values[name]
        else:
            result[name] = values[name]
    return result
