"""How answers are shown: tables, times, numbers; colours where there is a terminal to show them."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from midcourse.contract.base import Record, utc_now

STYLES = {
    "running": "green",
    "starting": "cyan",
    "queued": "cyan",
    "paused": "yellow",
    "suspended": "yellow",
    "interrupted": "magenta",
    "failed": "red",
    "applied": "green",
    "rejected": "red",
}


def console() -> Console:
    """Where people read; plain, and as wide as need be, where it is a pipe."""
    width = None if sys.stdout.isatty() else 10_000
    return Console(highlight=False, soft_wrap=True, width=width)


def show_record(record: Record) -> None:
    """An answer as one line of JSON, as the API gave it."""
    click.echo(record.model_dump_json(by_alias=True))


def show_json(value: Any) -> None:
    """Something that is no record, as one line of JSON."""
    click.echo(json.dumps(value, default=str, ensure_ascii=False))


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; in a pipe, columns with two spaces between, nothing cut off."""
    rows = list(rows)
    screen = console()
    if screen.is_terminal:
        screen.print(rich_table(heads, rows), soft_wrap=False)
        return
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    for row in [heads, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def rich_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The same for a terminal; states are coloured."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair a line; empty values are left out."""
    told = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        click.echo(f"{name.ljust(width)}  {value}")


def number(value: Any) -> str:
    """A number in a table's cell: five digits that matter; whole numbers whole."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else str(value)
    return str(value)


def value(something: Any) -> str:
    """A value of a parameter or a configuration, as it would be typed."""
    if isinstance(something, str):
        return something
    if isinstance(something, float):
        return f"{something:.12g}"
    return json.dumps(something, ensure_ascii=False)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long since a moment: `12s`, `3m`, `5h`, `2d`."""
    return "" if moment is None else span(((now or utc_now()) - moment).total_seconds())


def span(seconds: float | None) -> str:
    """A length of time in one unit."""
    if seconds is None:
        return ""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clock(moment: datetime | None) -> str:
    """A moment in the reader's own time."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
