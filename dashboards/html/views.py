"""Which view a panel is drawn with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboards.html.bars import MOST_RUNS_IN_HALF, draw_bars
from dashboards.html.curves import draw_curves
from dashboards.html.lineage import draw_lineage
from dashboards.html.matrices import draw_matrices
from dashboards.html.parallel import draw_parallel
from dashboards.html.pictures import draw_pictures
from dashboards.html.ranking import draw_ranking
from dashboards.html.scalars import draw_scalars
from dashboards.html.source import Source
from dashboards.html.tables import draw_config_difference, draw_rows, draw_tables
from dashboards.panels import Bars, Curves, Importance, Matrix, Panel, Rows, TableOf, Text
from midcourse.contract.interventions import TABLE as INTERVENTIONS


@dataclass(frozen=True)
class PanelView:
    """A panel as the template has it: the panel, and what is drawn of it."""

    id: str
    panel: Panel
    view: Any
    wide: bool
    """Over the whole width; else two stand side by side."""


def draw(panel: Panel, panel_id: str, source: Source) -> PanelView:
    """What is drawn of a panel; the view is empty where its runs have nothing of the kind."""
    view = _DRAWN[panel.kind](panel, source)
    return PanelView(panel_id, panel, view, _is_wide(panel, source))


def _is_wide(panel: Panel, source: Source) -> bool:
    match panel:
        case Curves():
            return False
        case Bars():
            return len(source.page.runs) > MOST_RUNS_IN_HALF
        case TableOf(media=media) if media == INTERVENTIONS:
            return True
        case Rows() | TableOf() | Importance() | Matrix():
            return source.has_many_runs
    return True


def _text(panel: Text, _: Source) -> list[str]:
    return panel.paragraphs


_DRAWN: dict[str, Callable[[Any, Source], Any]] = {
    "curves": draw_curves,
    "scalars": draw_scalars,
    "bars": draw_bars,
    "matrix": draw_matrices,
    "images": draw_pictures,
    "table": draw_tables,
    "config_difference": draw_config_difference,
    "lineage": draw_lineage,
    "parallel_coordinates": draw_parallel,
    "importance": draw_ranking,
    "rows": draw_rows,
    "text": _text,
}
