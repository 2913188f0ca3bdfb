"""Which runs of a project are shown."""

from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2.interface as wr
from wandb_workspaces.reports.v2 import internal

from dashboards.panels import OfRuns, Page, Panel
from dashboards.wandb_views.place import Place


def of_experiment(experiment: str) -> Any:
    """All runs of an experiment, those that come later too: its name is their group."""
    return expr.And(expr.Metric("Group") == experiment)


class Runset(wr.Runset):
    """Runs of a project whose id is known: W&B's own asks the server for it, each time."""

    _place: Place

    def _to_model(self) -> Any:
        model: Any = super()._to_model()  # type: ignore[no-untyped-call]
        model.project = internal.Project(
            name=self._place.project, entity_name=self._place.entity, id=self._place.project_id
        )
        return model


def of_page(page: Page, place: Place) -> Any:
    """The runs of a page: of a comparison, the experiment's; else those that it names."""
    if page.kind in ("comparison", "workspace"):
        return _runset("Runs", of_experiment(page.experiment), place)
    return _runset("Runs", _of_ids([run.id for run in page.runs]), place)


def of_panel(panel: Panel, page: Page, place: Place) -> Any:
    """The runs of a page; of a panel that shows some of them alone, those."""
    if isinstance(panel, OfRuns) and len(panel.runs) < len(page.runs):
        return _runset("Runs", _of_ids(panel.runs), place)
    return of_page(page, place)


def of_run(run: str, label: str, place: Place) -> Any:
    """One run, for what W&B would draw over each other."""
    return _runset(label, _of_ids([run]), place)


def _of_ids(ids: list[str]) -> Any:
    return expr.And(expr.Metric("ID").isin(ids))


def _runset(name: str, filters: Any, place: Place) -> Any:
    runset = Runset(name=name, filters=filters)
    object.__setattr__(runset, "_place", place)
    return runset
