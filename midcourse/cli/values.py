"""What is typed on the command line: assignments, grids, configurations."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from pydantic import JsonValue

from midcourse.contract.base import strict_json_loads
from midcourse.contract.typed_values import parse_value


def parse_assignment(text: str) -> tuple[str, str]:
    """The two sides of `name=value`.

    Raises:
        click.UsageError: there is no name, or no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"{text!r} must be name=value, such as optimizer.lr=0.01.")
    return name.strip(), value


def parse_changes(texts: Iterable[str]) -> dict[str, JsonValue]:
    """Assignments by their names.

    Raises:
        click.UsageError: one is none, or a name stands twice.
    """
    changes: dict[str, JsonValue] = {}
    for text in texts:
        name, value = parse_assignment(text)
        if name in changes:
            raise click.UsageError(f"{name} is given twice.")
        changes[name] = parse_value(value)
    return changes


def parse_grid(texts: Iterable[str]) -> dict[str, list[JsonValue]]:
    """`optimizer.lr=0.1,0.01` as a list of values for each name; a JSON list is one, too.

    Raises:
        click.UsageError: one is no assignment, has no values, or a name stands twice.
    """
    grid: dict[str, list[JsonValue]] = {}
    for text in texts:
        name, said = parse_assignment(text)
        whole = parse_value(said)
        values = whole if isinstance(whole, list) else [parse_value(one) for one in _split(said)]
        if not said.strip() or not values:
            raise click.UsageError(f"{name} has no values; give such as {name}=0.1,0.01.")
        if name in grid:
            raise click.UsageError(f"{name} is given twice; put its values in one list.")
        grid[name] = values
    return grid


def _split(text: str) -> list[str]:
    """At the commas that stand in no brackets and no quotation marks."""
    parts, depth, quoted, start = [], 0, False, 0
    for place, letter in enumerate(text):
        if letter == '"' and text[max(place - 1, 0)] != "\\":
            quoted = not quoted
        elif not quoted and letter in "[{":
            depth += 1
        elif not quoted and letter in "]}":
            depth -= 1
        elif letter == "," and not quoted and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in [*parts, text[start:]]]


def set_path(config: dict[str, Any], path: str, value: JsonValue) -> None:
    """Put a value at a dotted path of a configuration, with the objects on the way.

    Raises:
        click.UsageError: something on the way is no object.
    """
    *way, last = path.split(".")
    here = config
    for name in way:
        below = here.setdefault(name, {})
        if not isinstance(below, dict):
            raise click.UsageError(f"{path}: {name} is {json.dumps(below)} there, and no object.")
        here = below
    here[last] = value


def config_from(changes: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """`{"model.hidden": 64}` as `{"model": {"hidden": 64}}`."""
    config: dict[str, JsonValue] = {}
    for path, value in changes.items():
        set_path(config, path, value)
    return config


def read_config(source: str) -> dict[str, JsonValue]:
    """A configuration from a file, `-` being standard input; YAML where PyYAML is installed.

    Raises:
        click.UsageError: it cannot be read, or holds no object.
    """
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise click.UsageError(f"{source} cannot be read: {reason}.") from None
    loaded = _yaml(text, source) if source.endswith((".yaml", ".yml")) else _json(text, source)
    if not isinstance(loaded, dict):
        raise click.UsageError(f"{source} must hold an object, {{…}}.")
    return loaded


def _json(text: str, source: str) -> Any:
    try:
        return strict_json_loads(text)
    except ValueError as error:
        raise click.UsageError(f"{source} is not JSON: {error}.") from None


def _yaml(text: str, source: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise click.UsageError(
            f"{source}: reading YAML needs PyYAML (pip install pyyaml); JSON needs nothing."
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise click.UsageError(f"{source} is not YAML: {error}.") from None
