"""Confusion matrices as tables, shaded by the share of each true class."""

from dataclasses import dataclass
from typing import Final

from dashboards.html.source import Source
from dashboards.panels import Matrix
from dashboards.words import number
from midcourse.contract.media import ConfusionMatrix

MOST_LABELS: Final = 25
"""A larger matrix is told by its most frequent mistakes."""
MOST_MISTAKES: Final = 15
LEVELS: Final = 8
"""Of shading, beside none."""


@dataclass(frozen=True)
class Cell:
    """How often one class was taken for another."""

    count: int
    shade: str
    """Its class in the style sheet."""
    text: str


@dataclass(frozen=True)
class MatrixView:
    """The matrix of one run."""

    run: str
    colour: str
    index: int
    step: int
    labels: list[str]
    rows: list[tuple[str, list[Cell]]]
    mistakes: list[tuple[str, str, int]]
    """True class, predicted class, count: in place of a matrix that nobody could read."""
    right: str
    """How many of all were right, in words."""


def draw_matrices(panel: Matrix, source: Source) -> list[MatrixView]:
    """The newest matrix of each run of a panel that has logged one."""
    views = []
    for run_id in panel.runs:
        kept = source.run(run_id).media.get(panel.media)
        if kept and isinstance(kept[-1].media, ConfusionMatrix):
            views.append(_view(run_id, kept[-1].step, kept[-1].media, source))
    return views


def _view(run_id: str, step: int, matrix: ConfusionMatrix, source: Source) -> MatrixView:
    large = len(matrix.labels) > MOST_LABELS
    total = sum(sum(row) for row in matrix.counts)
    right = sum(row[index] for index, row in enumerate(matrix.counts) if index < len(row))
    share = f" ({number(100 * right / total)} %)" if total else ""
    return MatrixView(
        run=source.label(run_id),
        colour=source.colour(run_id),
        index=source.index(run_id),
        step=step,
        labels=[] if large else matrix.labels,
        rows=[] if large else _rows(matrix),
        mistakes=_mistakes(matrix) if large else [],
        right=f"{right} of {total} right{share}",
    )


def _rows(matrix: ConfusionMatrix) -> list[tuple[str, list[Cell]]]:
    rows = []
    for true, (label, counts) in enumerate(zip(matrix.labels, matrix.counts, strict=False)):
        total = sum(counts)
        cells = []
        for predicted, count in enumerate(counts[: len(matrix.labels)]):
            said = matrix.labels[predicted]
            cells.append(
                Cell(
                    count=count,
                    shade=_shade(count, total, right=true == predicted),
                    text=f"{count} of {total} of class {label} were taken for {said}",
                )
            )
        rows.append((label, cells))
    return rows


def _shade(count: int, total: int, *, right: bool) -> str:
    if not count or not total:
        return "zero"
    # Mistakes are few, and are seen all the same: a tenth of a class is shaded as half of it.
    share = count / total
    level = round((share if right else share**0.4) * LEVELS)
    return f"{'right' if right else 'wrong'} level{min(max(level, 1), LEVELS)}"


def _mistakes(matrix: ConfusionMatrix) -> list[tuple[str, str, int]]:
    found = [
        (matrix.labels[true], matrix.labels[predicted], count)
        for true, row in enumerate(matrix.counts[: len(matrix.labels)])
        for predicted, count in enumerate(row[: len(matrix.labels)])
        if count and true != predicted
    ]
    return sorted(found, key=lambda each: -each[2])[:MOST_MISTAKES]
