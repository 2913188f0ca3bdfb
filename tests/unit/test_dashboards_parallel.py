"""Settings against results: every run that came to one, and every setting, is there or told."""

import shown_runs as s
import tracked_runs as t

from dashboards.home import read_experiment
from dashboards.html.parallel import draw_parallel
from dashboards.html.source import Source
from dashboards.importance import rank
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


def test_of_many_settings_the_strongest_have_an_axis_and_all_are_ranked(tmp_path):
    for index in range(6):
        config = {f"a{i}": (index * (i + 2)) % 11 for i in range(9)}
        file = s.run_file(f"r{index}", config=config | {"word": f"w{index}", "zoom": index})
        logged = [t.metrics(0, val_loss=10.0 - index)]
        s.put_run(tmp_path, file, [s.started(file, values={}), *logged])
    runs = read_experiment(tmp_path, s.EXPERIMENT).runs
    (settings,) = [each for each in comparison(runs).sections if each.title == "Settings"]
    _, parallel, importance = settings.panels
    axes = [column.name for column in parallel.columns]
    assert (len(axes), axes[-2:]) == (9, ["zoom", "val_loss"])
    assert {column.name for column in importance.columns} == {f"a{i}" for i in range(9)} | {
        "word",
        "zoom",
    }
    ranking = rank(runs, importance.columns, "val_loss")
    assert {each.column.name for each in ranking.correlations[:8]} == set(axes[:-1])
    assert len(ranking.correlations) == 10
    left_out = [name for name in [*(f"a{i}" for i in range(9)), "word"] if name not in axes]
    assert parallel.explanation.endswith(
        f"3 more settings differ and have no axis: {', '.join(left_out)}."
    )


def test_where_nothing_is_ranked_the_first_settings_have_an_axis(tmp_path):
    for index in range(2):
        config = {f"a{i}": index for i in range(9)} | {"betas": [0.9, 0.99 + index / 1000]}
        file = s.run_file(f"r{index}", config=config)
        s.put_run(tmp_path, file, [s.started(file, values={}), t.metrics(0, val_loss=1.0)])
    runs = read_experiment(tmp_path, s.EXPERIMENT).runs
    (settings,) = [each for each in comparison(runs).sections if each.title == "Settings"]
    parallel = settings.panels[1]
    assert [column.name for column in parallel.columns] == [
        *(f"a{i}" for i in range(8)),
        "val_loss",
    ]
    assert parallel.explanation.endswith("2 more settings differ and have no axis: a8, betas.")
