"""A workspace in W&B keeps what people did to its panels while runs and layers come."""

import warnings
from copy import deepcopy

import pytest
import shown_runs as s
import tracked_runs as t

from dashboards.home import read_experiment
from dashboards.pages import workspace as workspace_page

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # W&B's packages are written for an older pydantic
    from dashboards.wandb_views import kept_panels
    from dashboards.wandb_views.place import Place
    from dashboards.wandb_views.publish import spec_of
    from dashboards.wandb_views.workspace import workspace

METRICS = {"train__loss": 1.0, "test__loss": 2.0, "gradients__a": 3.0, "gradients__b": 4.0}


def published(home, found=None):
    """The workspace as it is made of the runs that there are, over what is there."""
    experiment = read_experiment(home, s.EXPERIMENT)
    fresh = spec_of(workspace(workspace_page(experiment), experiment.runs, Place("us", "p", "17")))
    return fresh if found is None else kept_panels.with_ours(found, fresh)


def put(home, run, **more):
    file = s.run_file(run)
    s.put_run(home, file, [s.started(file), t.metrics(0, **METRICS, **more)])


def section(spec, title):
    sections = spec["section"]["panelBankConfig"]["sections"]
    return next(each for each in sections if each["name"] == title)


def line_plots(spec, title):
    return [
        panel
        for panel in section(spec, title)["panels"]
        if panel["viewType"] == "Run History Line Plot"
    ]


@pytest.mark.parametrize("news", [("rsecond", {}), ("rfirst", {"gradients__c": 5.0})])
def test_a_panel_stays_as_it_was_tuned_when_runs_and_layers_come(tmp_path, news):
    put(tmp_path, "rfirst")
    found = deepcopy(published(tmp_path))
    for title in ("Training", "Layers"):
        panel = line_plots(found, title)[0]
        panel["config"]["smoothingWeight"] = 0.9
        panels = section(found, title)["panels"]
        panels.remove(panel)
        panels.append(panel)
    run, more = news
    put(tmp_path, run, **more)
    again = published(tmp_path, found)
    for title in ("Training", "Layers"):
        assert [each["__id__"] for each in section(again, title)["panels"]] == [
            each["__id__"] for each in section(found, title)["panels"]
        ]
        assert line_plots(again, title)[-1]["config"]["smoothingWeight"] == 0.9
    layers = line_plots(again, "Layers")[-1]["config"]["metrics"]
    assert layers == sorted(
        name.replace("__", "/") for name in {**METRICS, **more} if "grad" in name
    )
