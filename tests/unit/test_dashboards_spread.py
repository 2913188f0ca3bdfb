"""Layers of several runs: a chart for a layer, a colour for a run, and no run is dropped."""

import json

import numpy as np
import pytest
import shown_runs as s
import tracked_runs as t

from dashboards.home import read_experiment
from dashboards.html import render
from dashboards.html.spread import MOST_LAYERS, extremes, spread_out
from dashboards.pages import monitor, workspace
from dashboards.panels import Curves

LAYERS = [f"gradients/{index:02}" for index in range(20)]
EXTREME = {"gradients/03": 1e6, "gradients/07": 1e-9, "gradients/11": "NaN"}


def put(home, runs, layers=LAYERS):
    for run in range(runs):
        file = s.run_file(f"r{run}")
        values = {name: EXTREME.get(name, 1.0 + index) for index, name in enumerate(layers)}
        logged = [t.metrics(step, **values) for step in range(3)]
        s.put_run(home, file, [s.started(file), *logged])
    return read_experiment(home, s.EXPERIMENT)


def layers_of(experiment):
    page = spread_out(workspace(experiment), {run.id: run for run in experiment.runs})
    (section,) = [each for each in page.sections if each.title == "Layers"]
    return section.panels


def test_each_of_the_most_extreme_layers_has_a_chart_with_a_line_for_each_run(tmp_path):
    experiment = put(tmp_path, 3)
    panels = layers_of(experiment)
    shown = [panel.metrics[0] for panel in panels]
    assert len(shown) == MOST_LAYERS
    assert set(EXTREME) <= set(shown)
    assert [panel.title for panel in panels] == [f"Gradient norms: {name}" for name in shown]
    assert {tuple(panel.runs) for panel in panels} == {("r0", "r1", "r2")}
    left_out = ", ".join(name for name in LAYERS if name not in shown)
    assert panels[0].explanation == (
        "Of 20 such metrics, the 6 with the greatest and the least values have a chart. Left out: "
        f"{left_out}."
    )
    assert [panel.explanation for panel in panels[1:]] == [""] * 5


def test_in_the_file_every_run_has_its_colour_in_every_chart(tmp_path):
    experiment = put(tmp_path, 3)
    html = render(workspace(experiment), experiment.runs)
    data = html.partition('id="data">')[2].partition("</script>")[0]
    charts = [
        chart["lines"] for chart in json.loads(data).values() if chart["log"] and not chart["held"]
    ]
    assert len(charts) == MOST_LAYERS
    for lines in charts:
        assert [(line["label"], line["colour"]) for line in lines] == [
            ("r0", "c0 d0"),
            ("r1", "c1 d0"),
            ("r2", "c2 d0"),
        ]


def test_few_layers_are_all_there_and_one_run_has_them_in_one_chart(tmp_path):
    experiment = put(tmp_path, 2, LAYERS[:4])
    panels = layers_of(experiment)
    assert [panel.metrics for panel in panels] == [[name] for name in LAYERS[:4]]
    assert {panel.explanation for panel in panels} == {""}
    (run, _) = experiment.runs
    page = spread_out(monitor(run), {run.id: run})
    (layers,) = [each for each in page.sections if each.title == "Layers"]
    (chart,) = [panel for panel in layers.panels if isinstance(panel, Curves)]
    assert chart.metrics == LAYERS[:4]


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ({"a": [1.0], "b": [2.0], "c": [3.0]}, ["a", "c"]),
        ({"a": [1.0], "b": [np.nan, 2.0], "c": [3.0]}, ["b", "c"]),
        ({"a": [0.0], "b": [-1.0], "c": [3.0]}, ["a", "c"]),
        ({"a": [1.0]}, ["a"]),
        ({}, []),
    ],
)
def test_extremes_are_what_is_broken_then_the_greatest_and_the_least(values, chosen):
    arrays = {name: np.array(each) for name, each in values.items()}
    assert extremes(arrays, 2) == chosen
