"""Text for W&B's markdown and code blocks, in which names that people chose stay text."""

import re
from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from dashboards.importance import FEWEST_RUNS, rank
from dashboards.lineage import Branch, lineage, told
from dashboards.panels import Importance, LineageTree, Rows
from dashboards.records import Run
from dashboards.words import number, plain

MOST_ROWS: Final = 300
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~$#])")


def escape(text: str) -> str:
    """Text that shows as it is."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def bullets(items: Sequence[tuple[str, str]]) -> str:
    """A list of titles, each with what is to be said of it."""
    return "\n".join(f"- **{escape(title)}**: {escape(text)}" for title, text in items)


def rows_table(panel: Rows) -> str:
    """A table that the page worked out."""
    shown = panel.rows[:MOST_ROWS]
    left_out = len(panel.rows) - len(shown)
    note = f"\n\n{left_out} more rows are left out." if left_out else ""
    return _table(panel.columns, [[_cell(cell) for cell in row] for row in shown]) + note


def ranking_table(panel: Importance, runs: Sequence[Run]) -> str:
    """Our own ranking of settings, or why there is none."""
    ranking = rank(runs, panel.columns, panel.metric)
    if not ranking.correlations:
        return (
            f"Nothing is ranked: it takes {FEWEST_RUNS} runs that differ in a setting that is a "
            f"number, and have {escape(panel.metric)}."
        )
    rows = [
        [each.column.name, f"{each.value:+.2f}", str(each.runs)] for each in ranking.correlations
    ]
    return _table(["setting", "correlation", "runs"], rows)


def lineage_tree(panel: LineageTree, runs: Sequence[Run]) -> str:
    """The tree of runs, drawn with lines of text.

    Plain text for a block of code, the one thing that surely keeps its columns in W&B.
    """
    branches = lineage(runs)
    drawn: list[str] = []
    for place, branch in enumerate(branches):
        name = branch.run.label if branch.run is not None else branch.id
        line = f"{_stem(branches, place)}{name}  {told(branch, panel.metric)}"
        drawn.append(" ".join(line.splitlines()))
    return "\n".join(drawn)


def _stem(branches: Sequence[Branch], place: int) -> str:
    """The lines to the left of a run: `│  └─ `."""
    branch = branches[place]
    if branch.depth == 0:
        return ""
    stem = "├─ " if _goes_on(branches, place, branch.depth) else "└─ "
    for depth in range(branch.depth - 1, 0, -1):
        stem = ("│  " if _goes_on(branches, place, depth) else "   ") + stem
    return stem


def _goes_on(branches: Sequence[Branch], place: int, depth: int) -> bool:
    """Whether another child of the same parent comes further down."""
    for later in branches[place + 1 :]:
        if later.depth <= depth:
            return later.depth == depth
    return False


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[escape(cell) for cell in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: JsonValue) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else plain(value)
