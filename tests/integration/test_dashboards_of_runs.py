"""Pages of runs that really trained: what a session writes is what the records say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run

from dashboards.home import read_experiment, read_run
from dashboards.html import render
from dashboards.pages import comparison, monitor, what_changed
from dashboards.panels import Curves
from midcourse.contract.names import MediaName, Metric
from midcourse.contract.runs import Origin, RunStatus

REPOSITORY = Path(__file__).parents[2]


def points(run, name):
    series = run.series[name]
    return dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A run whose rate is changed after step 2, and a fork of it from before that change."""
    changed = tiny_run.command(1, "set", changes={"optimizer.lr": 0.01})
    tiny_run.train(tmp_path, commands={2: [changed]}, name="parent")
    origin = Origin(run="r1", checkpoint="step-2", changes={"optimizer.lr": 0.02}, actor="ada")
    monkeypatch.setenv("MIDCOURSE_ORIGIN", origin.to_json())
    tiny_run.train(tmp_path, run_id="r2", name="child")
    return tmp_path


def test_a_change_is_a_step_in_its_curve_and_a_row(home):
    parent = read_run(home, "parent")
    assert parent.status is RunStatus.FINISHED
    assert points(parent, "param/optimizer.lr") == {0: 0.1, 2: 0.1, 3: 0.01, 9: 0.01}
    (change,) = parent.interventions
    assert (change.step, change.parameter, change.after) == (2, "optimizer.lr", 0.01)
    assert sorted(points(parent, "loss")) == list(range(10))
    assert "midcourse" in parent.versions


def test_a_fork_is_shown_against_its_parent_from_the_step_at_which_they_part(home):
    child, parent = read_run(home, "child"), read_run(home, "parent")
    assert child.branched_at == 2
    assert sorted(points(child, "loss")) == list(range(3, 10))
    assert points(child, "param/optimizer.lr") == {2: 0.1, 3: 0.02, 9: 0.02}
    page = what_changed(child, parent)
    (fork,) = [panel for panel in page.sections[0].panels if panel.title == "Changes at the fork"]
    assert fork.rows == [["optimizer.lr", 0.1, 0.02, "applied"]]
    numbers = page.sections[2].panels[0].rows[0]
    assert numbers[:2] == ["loss", 9]
    # The same data at every step, and a rate twice as high as what the parent was given.
    assert numbers[5] == "better"


def test_a_revert_goes_on_from_its_parent(tmp_path):
    revert = tiny_run.command(1, "revert", checkpoint="step-1", child="r9")
    tiny_run.train(tmp_path, commands={6: [revert]}, checkpoint_every="2 steps")
    experiment = read_experiment(tmp_path, "tiny")
    assert [(run.id, run.status.value) for run in experiment.runs] == [
        ("r1", "superseded"),
        ("r9", "finished"),
    ]
    page = comparison(experiment.runs)
    html = render(page, experiment.runs)
    assert "went on after step 1" in html


def test_a_run_that_was_started_again_is_one_line(tmp_path):
    class Killed(BaseException):
        """As a crash: nothing more is written."""

    def kill(run):
        if run.current_step == 6:
            raise Killed

    with pytest.raises(Killed):
        tiny_run.train(tmp_path, each=kill, checkpoint_every="2 steps")
    tiny_run.train(tmp_path, checkpoint_every="2 steps")
    run = read_run(tmp_path, "r1")
    assert len(run.attempts) == 2
    assert sorted(points(run, "loss")) == list(range(10))
    assert run.status is RunStatus.FINISHED


def test_the_bundled_trainer_fills_every_section(tmp_path):
    config = {
        "experiment": "digits",
        "data": {"name": "digits", "batch_size": 16},
        "train": {"epochs": 1, "device": "cpu"},
    }
    (tmp_path / "params.json").write_text(json.dumps(config))
    environment = {"MIDCOURSE_HOME": str(tmp_path / "home"), "WANDB_MODE": "disabled"}
    subprocess.run(
        [sys.executable, "-m", "trainer", tmp_path / "params.json"],
        cwd=REPOSITORY,
        env=os.environ | environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    (run,) = read_experiment(tmp_path / "home", "digits").runs
    page = monitor(run)
    panels = {section.title: section.panels for section in page.sections}
    assert [title for title, found in panels.items() if not found] == []
    charts = [panel for found in panels.values() for panel in found if isinstance(panel, Curves)]
    drawn = {metric for chart in charts for metric in chart.metrics}
    assert {name for name in run.series if not name.startswith("param/")} == drawn
    assert {Metric.TRAIN_LOSS, Metric.TEST_LOSS, Metric.TRAIN_BATCH_LOSS} <= drawn
    media = {panel.media for found in panels.values() for panel in found if hasattr(panel, "media")}
    assert set(run.media) <= media
    assert {MediaName.CONFUSION_MATRIX, MediaName.MISCLASSIFIED} <= media
    html = render(page, [run])
    pictures = run.media[MediaName.MISCLASSIFIED][-1].media.images
    assert html.count("data:image/png;base64,") >= len(pictures) > 0
