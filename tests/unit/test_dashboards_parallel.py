"""Parallel coordinates: every run that came to a result is there."""

import shown_runs as s
import tracked_runs as t

from dashboards.home import read_experiment
from dashboards.html.parallel import draw_parallel
from dashboards.html.source import Source
from dashboards.pages import comparison
from dashboards.panels import Column, ParallelCoordinates

OPTIMIZERS = {
    "rsgd": {"optimizer.momentum": 0.9, "optimizer.beta": None, "optimizer.nesterov": True},
    "rsgd2": {"optimizer.momentum": 0.5, "optimizer.beta": None, "optimizer.nesterov": False},
    "radamw": {"optimizer.momentum": None, "optimizer.beta": 0.99, "optimizer.nesterov": None},
    "rnew": {"optimizer.momentum": 0.7, "optimizer.beta": None, "optimizer.nesterov": True},
}


def test_a_run_without_a_setting_crosses_its_axis_below_the_scale(tmp_path):
    for name, values in OPTIMIZERS.items():
        file = s.run_file(name)
        logged = [] if name == "rnew" else [t.metrics(0, val_loss=0.5)]
        s.put_run(tmp_path, file, [s.started(file, values=values), *logged])
    found = read_experiment(tmp_path, s.EXPERIMENT).runs
    names = [*OPTIMIZERS["rsgd"]]
    columns = [Column(source="parameter", name=name) for name in names]
    columns.append(Column(source="metric", name="val_loss"))
    panel = ParallelCoordinates(title="Of", runs=[*OPTIMIZERS], columns=columns)
    view = draw_parallel(panel, Source(comparison(found), {run.id: run for run in found}, 60))
    lines = {line.text.partition(":")[0]: line for line in view.lines}
    assert lines.keys() == {"rsgd", "rsgd2", "radamw"}
    assert "optimizer.beta none" in lines["rsgd"].text
    assert view.notes == ["Left out, as they have no val_loss yet: rnew."]
    momentum, beta, nesterov, result = view.axes
    for axis in (momentum, beta, nesterov):
        *scale, (lowest, label) = axis.ticks
        assert label == "none"
        assert all(place < lowest - 15 for place, _ in scale)
    assert "none" not in [label for _, label in result.ticks]
    places = {name: [p.split(",")[1] for p in line.points.split()] for name, line in lines.items()}
    assert places["radamw"][0] == places["radamw"][2] == places["rsgd"][1] == "284"
    assert "0.9" in [label for _, label in momentum.ticks]  # what is missing is no 0 on the scale
    assert "0" not in [label for _, label in momentum.ticks]
