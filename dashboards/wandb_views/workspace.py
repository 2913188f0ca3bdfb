"""A page as a workspace: its sections, each with its panels, of all runs of an experiment."""

from collections.abc import Iterable
from typing import Any

import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces as ws

from dashboards.metric_places import Place as SectionTitle
from dashboards.metric_places import stem_of
from dashboards.panels import Curves, OfRuns, Page, Panel, Section
from dashboards.records import Run
from dashboards.wandb_views import runsets
from dashboards.wandb_views.charts import HALF, Runs, charts_of, markdown_panel, marked_loss
from dashboards.wandb_views.markdown import bullets, escape
from dashboards.wandb_views.marks import own_id
from dashboards.wandb_views.names import INTERVENTION, STEP
from dashboards.wandb_views.place import Place


def workspace(page: Page, runs: Iterable[Run], place: Place) -> Any:
    """The workspace of an experiment, as it is before it is saved.

    Its sections and panels have ids that are ours and the same each time: so they are known
    again beside what people added.

    Args:
        page: a workspace.
        runs: the records of all runs that the page names.
        place: the project that has the runs.

    Returns:
        A `wandb_workspaces.workspaces.Workspace`.
    """
    by_id = {run.id: run for run in runs}
    return ws.Workspace(
        entity=place.entity,
        project=place.project,
        name=f"Midcourse: {page.experiment}",
        sections=[_section(section, page, by_id) for section in page.sections],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=max(len(by_id), 10)),
        runset_settings=ws.RunsetSettings(filters=runsets.of_experiment(page.experiment)),
    )


def _section(section: Section, page: Page, runs: Runs) -> Any:
    named: list[tuple[str, Any]] = [("about", _about(section))]
    if section.title == SectionTitle.INTERVENTIONS and section.panels:
        named += [("marked loss", marked_loss()), ("when", _when(page))]
    for panel in section.panels:
        charts = charts_of(panel, runs)
        named += [
            (f"{_subject(section, panel)} {place}", chart) for place, chart in enumerate(charts)
        ]
    drawn = ws.Section(
        name=section.title,
        panels=[_owned(chart, section.title, subject) for subject, chart in named],
        is_open=bool(section.panels),
        panel_settings=ws.SectionPanelSettings(x_axis=STEP),
    )
    drawn._id = own_id("section", section.title)
    return drawn


def _about(section: Section) -> Any:
    told = [(panel.title, panel.explanation) for panel in section.panels if panel.explanation]
    parts = [escape(section.explanation), escape(section.empty or ""), bullets(told)]
    return markdown_panel("\n\n".join(part for part in parts if part))


def _when(page: Page) -> Any:
    """A point for each command at its step, beside the curves of what it changed."""
    return wr.LinePlot(
        title="Commands: their numbers, at the steps at which they acted",
        x=STEP,
        y=[INTERVENTION],
        title_x=STEP,
        line_marks={f"{run.id}:{INTERVENTION}": "points" for run in page.runs},
        max_runs_to_show=max(len(page.runs), 10),
        layout=wr.Layout(w=HALF, h=8),
    )


def _owned(chart: Any, *named: str) -> Any:
    chart._id = own_id("panel", *named)
    chart._is_auto = False  # or W&B may take it for one that it made itself, and drop it
    return chart


def _subject(section: Section, panel: Panel) -> str:
    """What a panel shows: the same however its title, its runs or its metrics change."""
    kept = panel.model_dump(mode="json", exclude={"title", "explanation"})
    what = kept.get("metrics") or kept.get("media") or kept.get("metric")
    if isinstance(panel, Curves) and section.title == SectionTitle.LAYERS:
        what = stem_of(panel.metrics[0], SectionTitle.LAYERS)  # one more layer may come at any time
    named = what if isinstance(panel, OfRuns) and what else panel.title
    return f"{panel.kind} {named}"
