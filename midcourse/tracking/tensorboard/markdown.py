"""Tables and JSON as Markdown, which is what TensorBoard shows as text."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from midcourse.contract.media import Bars, ConfusionMatrix, Table

MOST_ROWS: Final = 1000
MOST_COLUMNS: Final = 100
_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>&~-])")


def table(columns: Sequence[str], rows: Sequence[Sequence[JsonValue]]) -> str:
    """A table; the first rows of a very long one, and how many more there are."""
    heads = " | ".join(_cell(column) for column in columns)
    rule = " | ".join("---" for _ in columns)
    body = [" | ".join(_cell(cell) for cell in row) for row in rows[:MOST_ROWS]]
    lines = [f"| {line} |" for line in (heads, rule, *body)]
    if len(rows) > MOST_ROWS:
        lines += ["", f"and {len(rows) - MOST_ROWS} more rows, in the run's log"]
    return "\n".join(lines)


def table_of(media: Table | Bars | ConfusionMatrix) -> str:
    """The numbers of a medium as a table.

    Raises:
        ValueError: there are not as many numbers as labels.
    """
    match media:
        case Table():
            return table(media.columns, media.rows)
        case Bars():
            bars: list[list[JsonValue]] = [
                list(pair) for pair in zip(media.labels, media.values, strict=True)
            ]
            return table([media.label_title, media.value_title], bars)
        case ConfusionMatrix():
            return _counts(media)


def _counts(matrix: ConfusionMatrix) -> str:
    """A square; of very many classes, the cells that have any, the fullest first."""
    lines = zip(matrix.labels, matrix.counts, strict=True)
    if len(matrix.labels) <= MOST_COLUMNS:
        square: list[list[JsonValue]] = [[label, *row] for label, row in lines]
        return table(["true \\ predicted", *matrix.labels], square)
    cells: list[list[JsonValue]] = [
        [true, predicted, count]
        for true, row in lines
        for predicted, count in zip(matrix.labels, row, strict=True)
        if count
    ]
    cells.sort(key=lambda cell: cell[2], reverse=True)  # type: ignore[arg-type, return-value]
    return table(["true", "predicted", "count"], cells)


def json_block(value: Mapping[str, JsonValue]) -> str:
    """A configuration, as it would stand in a file."""
    return f"```\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def _cell(value: JsonValue) -> str:
    """A value as it stands: nothing in it is taken for Markdown, and it stays on its line."""
    if value is None:
        return " "
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # a count, as people write it
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _MARKS.sub(r"\\\1", " ".join(text.split()))
