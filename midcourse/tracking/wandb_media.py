"""Midcourse's media in W&B's own forms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb
from pydantic import JsonValue

from midcourse.contract.media import Bars, ConfusionMatrix, ImageFiles, Media, Table
from midcourse.tracking.marked_curve import MarkedCurve


def draw(name: str, media: Media | MarkedCurve, folder: Path) -> Any:
    """One medium as an object for `run.log`.

    Args:
        name: Under which it is logged; the title of charts.
        media: What to draw.
        folder: The run's folder, which image paths are relative to.

    Raises:
        OSError: a picture cannot be read.
        ValueError: the sizes do not fit one another.
    """
    match media:
        case ConfusionMatrix():
            return _confusion_matrix(name, media)
        case Bars():
            return _bars(name, media)
        case MarkedCurve():
            return _marked_curve(media)
        case Table():
            return table(media.columns, media.rows)
        case ImageFiles():
            return [
                wandb.Image(str(folder / image.path), caption=image.caption or None)
                for image in media.images
            ]


def _confusion_matrix(name: str, matrix: ConfusionMatrix) -> Any:
    """W&B's own chart, from counts: `wandb.plot.confusion_matrix` would want every prediction."""
    cells: list[list[JsonValue]] = [
        [actual, predicted, count]
        for actual, row in zip(matrix.labels, matrix.counts, strict=True)
        for predicted, count in zip(matrix.labels, row, strict=True)
    ]
    if len(matrix.labels) > _MOST_LABELS_WITH_EMPTY_CELLS:
        cells = [cell for cell in cells if cell[2]]
    fields = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=wandb.Table(columns=list(fields), data=cells),
        fields=fields,
        string_fields={"title": name},
    )


_MOST_LABELS_WITH_EMPTY_CELLS = 100  # W&B takes 200,000 cells at most; few of a large one are used


def _marked_curve(curve: MarkedCurve) -> Any:
    """W&B's own chart of lines: the metric, and a vertical one for each intervention."""
    low, high = min(curve.values), max(curve.values)
    return wandb.plot.line_series(
        xs=[curve.steps, *([mark.step, mark.step] for mark in curve.marks)],
        ys=[curve.values, *([low, high] for _ in curve.marks)],
        keys=[curve.metric, *(mark.label for mark in curve.marks)],
        title=f"{curve.metric}, and what was done to the run",
        xname="step",
    )


def _bars(name: str, bars: Bars) -> Any:
    label, value = bars.label_title, bars.value_title
    if label == value:
        value = f"{value} "  # columns of one table need two names
    rows = [list(pair) for pair in zip(bars.labels, bars.values, strict=True)]
    return wandb.plot.bar(wandb.Table(columns=[label, value], data=rows), label, value, title=name)


def table(columns: Sequence[str], rows: Sequence[Sequence[JsonValue]]) -> Any:
    """A table whose columns are each of one type, as W&B wants them.

    A column that mixes types, or holds lists or objects, becomes text.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row does not have the {len(columns)} cells of the table's columns")
    as_text = [_is_mixed([row[index] for row in rows]) for index in range(len(columns))]
    cells = [
        [_text(cell) if text else cell for cell, text in zip(row, as_text, strict=True)]
        for row in rows
    ]
    return wandb.Table(columns=list(columns), data=cells)


def _is_mixed(cells: Sequence[JsonValue]) -> bool:
    kinds = {_kind(cell) for cell in cells if cell is not None}
    return len(kinds) > 1 or "nested" in kinds


def _kind(cell: JsonValue) -> str:
    if isinstance(cell, bool):
        return "boolean"
    if isinstance(cell, int | float):
        return "number"
    return "text" if isinstance(cell, str) else "nested"


def _text(cell: JsonValue) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    return str(cell).lower() if isinstance(cell, bool) else str(cell)
