"""A page as a report: sections with explanations, and grids of panels."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

import wandb_workspaces.reports.v2.interface as wr

from dashboards.metric_places import Place as SectionTitle
from dashboards.panels import (
    Curves,
    Importance,
    LineageTree,
    Matrix,
    Page,
    Panel,
    Rows,
    Section,
    Text,
)
from dashboards.records import Run
from dashboards.wandb_views import runsets
from dashboards.wandb_views.charts import Runs, charts_of, marked_loss
from dashboards.wandb_views.kept_blocks import BEGIN, END
from dashboards.wandb_views.markdown import lineage_tree, rows_table
from dashboards.wandb_views.place import Place

LONGEST_TITLE: Final = 128
"""W&B takes no more characters."""
IMPORTANCE_OF_WANDB: Final = (
    "The second panel is W&B's own estimate, from a model that it fits to the runs in the browser; "
    "it may see what goes together in other than straight lines."
)


def report(page: Page, runs: Iterable[Run], place: Place) -> Any:
    """The report of a page, as it is before it is saved.

    Args:
        page: a monitor, a comparison, or what a change did.
        runs: the records of all runs that the page names.
        place: the project that has the runs.

    Returns:
        A `wandb_workspaces.reports.v2.Report`.
    """
    drawn = _Drawing(page, {run.id: run for run in runs}, place)
    return wr.Report(
        entity=place.entity,
        project=place.project,
        title=_short(page.title),
        description=f"Written by Midcourse for the experiment {page.experiment}.",
        blocks=[
            wr.P(BEGIN),
            *(wr.P(paragraph) for paragraph in page.intro),
            wr.TableOfContents(),
            *(block for section in page.sections for block in drawn.section(section)),
            wr.HorizontalRule(),
            wr.P(END),
        ],
        width="fixed",
    )


class _Drawing:
    """What all blocks of one report are drawn from."""

    def __init__(self, page: Page, runs: Runs, place: Place) -> None:
        self._page, self._runs, self._place = page, runs, place

    def section(self, section: Section) -> list[Any]:
        blocks: list[Any] = [wr.H2(section.title), wr.P(section.explanation)]
        if section.empty is not None:
            blocks.append(wr.P(section.empty))
        if self._shows_marked_loss(section):
            blocks.append(self._grid([marked_loss()]))
        for form, panels in groupby(section.panels, key=_form):
            blocks += self._blocks(form, list(panels))
        return blocks

    def _shows_marked_loss(self, section: Section) -> bool:
        """On the page of one run that was steered, before its curves."""
        acted = any(run.interventions for run in self._runs.values())
        is_training = section.title == SectionTitle.TRAINING and bool(section.panels)
        return self._page.kind == "monitor" and is_training and acted

    def _blocks(self, form: str, panels: list[Panel]) -> list[Any]:
        if form == "grid":
            charts = [chart for panel in panels for chart in charts_of(panel, self._runs)]
            return [*_explained(panels), *([self._grid(charts)] if charts else [])]
        return [block for panel in panels for block in self._alone(panel)]

    def _alone(self, panel: Panel) -> list[Any]:
        """A panel with a heading of its own."""
        head = [wr.H3(panel.title), *([wr.P(panel.explanation)] if panel.explanation else [])]
        match panel:
            case Rows():
                return [*head, wr.MarkdownBlock(rows_table(panel))] if panel.rows else head
            case Text():
                return [*head, *(wr.P(paragraph) for paragraph in panel.paragraphs)]
            case LineageTree():
                tree = lineage_tree(panel, [self._runs[run] for run in panel.runs])
                return [*head, wr.CodeBlock(tree, language="markdown")]
            case Matrix():
                return [*head, *(self._of_one(panel, run) for run in panel.runs)]
            case Importance():
                charts = charts_of(panel, self._runs)
                return [*head, wr.P(IMPORTANCE_OF_WANDB), self._grid(charts, panel)]
        return [*head, self._grid(charts_of(panel, self._runs), panel)]

    def _of_one(self, panel: Matrix, run: str) -> Any:
        """A grid for each run: W&B would add up the matrices of several."""
        label = next(each.label for each in self._page.runs if each.id == run)
        runset = runsets.of_run(run, label, self._place)
        return wr.PanelGrid(runsets=[runset], panels=charts_of(panel, self._runs))

    def _grid(self, charts: list[Any], panel: Panel | None = None) -> Any:
        """Of the runs of one panel; of all where several share it: each draws what there is."""
        if panel is None:
            runset = runsets.of_page(self._page, self._place)
        else:
            runset = runsets.of_panel(panel, self._page, self._place)
        return wr.PanelGrid(runsets=[runset], panels=charts)


def _form(panel: Panel) -> str:
    """Curves share a grid; everything else has a heading of its own."""
    return "grid" if isinstance(panel, Curves) else "alone"


def _explained(panels: list[Panel]) -> list[Any]:
    told: list[Any] = [
        f"{panel.title}: {panel.explanation}" for panel in panels if panel.explanation
    ]
    return [wr.UnorderedList(items=told)] if told else []


def _short(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"
