"""Panels as W&B's own."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import wandb_workspaces.reports.v2.interface as wr

from dashboards.panels import (
    Bars,
    ConfigDifference,
    Curves,
    Images,
    Importance,
    LineageTree,
    Matrix,
    Panel,
    ParallelCoordinates,
    Rows,
    Scalars,
    TableOf,
    Text,
)
from dashboards.records import Run
from dashboards.wandb_views.markdown import escape, lineage_tree, ranking_table, rows_table
from dashboards.wandb_views.names import MARKED_LOSS, STEP, axis, best_of, table_of_chart
from midcourse.contract import media as logged

Runs = Mapping[str, Run]
"""The records of a page, by id."""

HALF: Final = 12
WHOLE: Final = 24
"""Columns of a grid."""
_FEWEST_LINES = 10  # what W&B draws where nothing is said


def charts_of(panel: Panel, runs: Runs) -> list[Any]:
    """What W&B draws of a panel.

    Args:
        panel: of a page.
        runs: the records of all runs that the page names.
    """
    return _DRAWN[panel.kind](panel, runs)


def markdown_panel(text: str, height: int = 8, width: int = WHOLE) -> Any:
    """A panel to read."""
    return wr.MarkdownPanel(markdown=text, layout=_size(width, height))


def marked_loss() -> Any:
    """The tracker's chart of a loss and the commands that acted on its run."""
    fields = {name: name for name in ("step", "lineKey", "lineVal")}
    strings = {"title": "Loss, and what was done to the run", "xname": STEP}
    return _custom(MARKED_LOSS, "wandb/lineseries/v0", fields, strings, WHOLE)


def _curves(panel: Curves, _: Runs) -> list[Any]:
    return [
        wr.LinePlot(
            title=panel.title,
            x=STEP,
            y=list(panel.metrics),
            log_y=panel.log_y or None,
            range_x=(None if panel.from_step is None else max(panel.from_step, 0), None),
            title_x=STEP,
            max_runs_to_show=max(len(panel.runs), _FEWEST_LINES),
            layout=_size(HALF, 8),
        )
    ]


def _scalars(panel: Scalars, _: Runs) -> list[Any]:
    return [
        wr.ScalarChart(
            title=f"{'best' if each.pick == 'best' else 'last'} {each.metric}",
            metric=best_of(each.metric) if each.pick == "best" else each.metric,
            layout=_size(6, 6),
        )
        for each in panel.scalars
    ]


def _bars(panel: Bars, runs: Runs) -> list[Any]:
    newest = _newest(panel.media, panel.runs, runs)
    if not isinstance(newest, logged.Bars):
        return []
    label, value = newest.label_title, newest.value_title
    fields = {"label": label, "value": value if value != label else f"{value} "}
    return [_custom(panel.media, "wandb/bar/v0", fields, {"title": panel.title}, HALF)]


def _matrix(panel: Matrix, _: Runs) -> list[Any]:
    fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
    return [_custom(panel.media, "wandb/confusion_matrix/v1", fields, {"title": panel.title}, HALF)]


def _images(panel: Images, _: Runs) -> list[Any]:
    return [
        wr.MediaBrowser(
            title=panel.title, media_keys=[panel.media], num_columns=6, layout=_size(WHOLE, 10)
        )
    ]


def _table(panel: TableOf, _: Runs) -> list[Any]:
    return [wr.WeavePanelSummaryTable(table_name=panel.media, layout=_size(WHOLE, 10))]


def _difference(_: ConfigDifference, __: Runs) -> list[Any]:
    return [wr.RunComparer(diff_only="split", layout=_size(WHOLE, 12))]


def _parallel(panel: ParallelCoordinates, _: Runs) -> list[Any]:
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=axis(each), display_name=each.name)
        for each in panel.columns
    ]
    return [wr.ParallelCoordinatesPlot(columns=columns, title=panel.title, layout=_size(WHOLE, 10))]


def _importance(panel: Importance, runs: Runs) -> list[Any]:
    """Our ranking, which is explained, and W&B's own, which can be asked about other metrics."""
    ranking = ranking_table(panel, [runs[run] for run in panel.runs])
    return [
        markdown_panel(f"**{escape(panel.title)}**\n\n{ranking}", width=HALF),
        wr.ParameterImportancePlot(with_respect_to=best_of(panel.metric), layout=_size(HALF, 8)),
    ]


def _rows(panel: Rows, _: Runs) -> list[Any]:
    return [markdown_panel(f"**{escape(panel.title)}**\n\n{rows_table(panel)}")]


def _lineage(panel: LineageTree, runs: Runs) -> list[Any]:
    tree = lineage_tree(panel, [runs[run] for run in panel.runs]).replace("`", "'")
    return [markdown_panel(f"```\n{tree}\n```")]


def _text(panel: Text, _: Runs) -> list[Any]:
    return [markdown_panel("\n\n".join(escape(each) for each in panel.paragraphs))]


_DRAWN: dict[str, Callable[[Any, Runs], list[Any]]] = {
    "curves": _curves,
    "scalars": _scalars,
    "bars": _bars,
    "matrix": _matrix,
    "images": _images,
    "table": _table,
    "config_difference": _difference,
    "lineage": _lineage,
    "parallel_coordinates": _parallel,
    "importance": _importance,
    "rows": _rows,
    "text": _text,
}


def _custom(
    media: str, chart: str, fields: dict[str, str], strings: dict[str, str], width: int
) -> Any:
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": table_of_chart(media)}},
        chart_name=chart,
        chart_fields=fields,
        chart_strings=strings,
        layout=_size(width, 8),
    )


def _newest(media: str, ids: list[str], runs: Runs) -> logged.Media | None:
    kept = [found for run in ids if (found := runs[run].media.get(media))]
    return kept[-1][-1].media if kept else None


def _size(width: int, height: int) -> Any:
    return wr.Layout(w=width, h=height)
