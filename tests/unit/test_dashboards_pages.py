"""Pages as plain data. Golden files hold all of them; `MIDCOURSE_WRITE_GOLDEN=1` writes them anew.

A golden file that changed is to be read: every panel of the HTML file and of W&B comes from it.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import shown_runs as s
import tracked_runs as t

from dashboards.comparing import columns_to_compare, config_of, differing
from dashboards.differences import metric_differences
from dashboards.home import read_experiment, read_run
from dashboards.importance import rank, spearman
from dashboards.metric_places import Place, charts_of, main_metric, place_of
from dashboards.pages import comparison, monitor, what_changed, workspace
from dashboards.panels import Column, Page
from midcourse.contract.names import Metric
from midcourse.contract.records import Metrics, Notice
from midcourse.contract.runs import Origin, RunStatus

GOLDEN = Path(__file__).parents[1] / "golden" / "dashboards"
SECTIONS = ["Training", "Interventions", "Per-class", "Examples", "Layers", "System"]


@pytest.fixture
def home(tmp_path):
    return s.put_experiment(tmp_path / "home")


def pages(home):
    experiment = read_experiment(home, s.EXPERIMENT)
    baseline, gentler = experiment.run(s.BASELINE), experiment.run(s.GENTLER)
    return {
        "workspace": workspace(experiment),
        "monitor": monitor(baseline),
        "comparison": comparison(experiment.runs),
        "what_changed": what_changed(gentler, baseline),
    }


@pytest.mark.parametrize("kind", ["workspace", "monitor", "comparison", "what_changed"])
def test_a_page_is_what_its_golden_file_says(home, kind):
    page = pages(home)[kind]
    said = json.dumps(json.loads(page.to_json()), indent=2, ensure_ascii=False) + "\n"
    file = GOLDEN / f"{kind}.json"
    if os.environ.get("MIDCOURSE_WRITE_GOLDEN"):
        file.write_text(said)
    assert said == file.read_text()


@pytest.mark.parametrize("kind", ["workspace", "monitor", "comparison", "what_changed"])
def test_a_page_is_the_same_after_a_journey_as_json(home, kind):
    page = pages(home)[kind]
    assert page.kind == kind
    assert Page.model_validate_json(page.to_json()) == page


@pytest.mark.parametrize("kind", ["workspace", "monitor", "comparison", "what_changed"])
def test_every_panel_names_runs_of_its_page_that_have_what_it_shows(home, kind):
    page = pages(home)[kind]
    runs = {run.id: read_run(home, run.id) for run in page.runs}
    for section in page.sections:
        assert section.panels or section.empty
        for panel in section.panels:
            for run in getattr(panel, "runs", []):
                logged = runs[run]
                if panel.kind == "curves":
                    assert set(panel.metrics) & logged.series.keys()
                if panel.kind in ("bars", "matrix", "images"):
                    assert panel.media in logged.media


def test_the_workspace_has_its_six_sections(home):
    assert [section.title for section in pages(home)["workspace"].sections] == SECTIONS
    assert [section.title for section in pages(home)["monitor"].sections][1:] == SECTIONS


def test_a_run_that_logged_nothing_gets_a_page_that_says_so(tmp_path):
    file = s.run_file(t.RUN)
    s.put_run(tmp_path, file, [s.started(file, values={})])
    page = monitor(read_run(tmp_path, t.RUN))
    told = {section.title: section.empty for section in page.sections if not section.panels}
    assert told["Training"] == "No metric was logged yet."
    assert told["Examples"] == "No picture was logged."
    assert page.intro[0].endswith("Status: running, last heard of 2026-05-01 12:00 UTC.")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (None, "running, last heard of 2026-05-01 12:01 UTC"),
        (RunStatus.PAUSED, "paused, last heard of 2026-05-01 12:01 UTC"),
        (RunStatus.INTERRUPTED, "interrupted"),
        (RunStatus.FINISHED, "finished"),
    ],
)
def test_of_a_run_that_should_be_under_way_it_is_said_when_it_was_last_heard_of(
    tmp_path, status, told
):
    file = s.run_file(t.RUN)
    ended = [] if status is None else [t.status(status, 70)]
    s.put_run(tmp_path, file, [s.started(file), t.metrics(70, loss=1.0), *ended])
    run = read_run(tmp_path, t.RUN)
    page = monitor(run)
    assert f"Status: {told}, at step 70" in page.intro[0]
    assert dict(page.sections[-1].panels[-1].rows)["status"] == told
    (results,) = [each for each in comparison([run]).sections[0].panels if each.kind == "rows"]
    assert results.rows[0][1] == told


@pytest.mark.parametrize(
    ("metric", "place"),
    [
        ("train/loss", Place.TRAINING),
        ("val_acc", Place.TRAINING),
        ("reward", Place.TRAINING),
        ("weighted_loss", Place.TRAINING),
        ("temperature", Place.TRAINING),
        ("performance/accuracy", Place.TRAINING),
        ("performance/batch", Place.SYSTEM),
        ("", Place.TRAINING),
        ("param/optimizer.lr", Place.INTERVENTIONS),
        ("gradients/0.weight", Place.LAYERS),
        ("train/grad_norm", Place.LAYERS),
        ("test/per_class/cat", Place.PER_CLASS),
        ("class_accuracy/dog", Place.PER_CLASS),
        (Metric.STEPS_PER_SECOND, Place.SYSTEM),
        ("gpu/0/utilisation", Place.SYSTEM),
        ("samples_per_second", Place.SYSTEM),
    ],
)
def test_a_metric_stands_where_its_name_says(metric, place):
    assert place_of(metric) is place


@pytest.mark.parametrize(
    ("names", "charts"),
    [
        (["train/loss", "test/loss"], [("Loss", ("train/loss", "test/loss"))]),
        (["loss", "val_loss"], [("Loss", ("loss", "val_loss"))]),
        (["loss_val", "loss_train"], [("Loss", ("loss_train", "loss_val"))]),
        (["Val/Loss", "Train/Loss"], [("Loss", ("Train/Loss", "Val/Loss"))]),
        (["train/lr"], [("Learning rate", ("train/lr",))]),
        (["test"], [("Test", ("test",))]),
        (["a/b", "a_b"], [("A b", ("a/b",)), ("A b", ("a_b",))]),
        (
            ["train/epoch", "train/lr", "test/accuracy", "test/loss"],
            [
                ("Loss", ("test/loss",)),
                ("Accuracy", ("test/accuracy",)),
                ("Learning rate", ("train/lr",)),
                ("Epoch", ("train/epoch",)),
            ],
        ),
    ],
)
def test_what_belongs_together_shares_a_chart(names, charts):
    found = charts_of(names, Place.TRAINING)
    assert [(chart.title, chart.metrics) for chart in found] == charts


def test_of_many_runs_each_metric_has_a_chart():
    found = charts_of(["train/loss", "test/loss", "train/lr"], Place.TRAINING, together=False)
    assert [chart.metrics for chart in found] == [("test/loss",), ("train/loss",), ("train/lr",)]
    assert [chart.title for chart in found] == ["Test loss", "Train loss", "Learning rate"]


@pytest.mark.parametrize(
    ("metrics", "main"),
    [
        (["train/accuracy", "test/loss", "test/accuracy"], "test/accuracy"),
        (["train/accuracy", "val_loss"], "val_loss"),
        (["train/loss", "loss"], "loss"),
        (["Train/Accuracy", "Val/Accuracy"], "Val/Accuracy"),
        (["Accuracy-Train", "Accuracy-Test"], "Accuracy-Test"),
        (["test/class_accuracy/cat", "train/loss"], "train/loss"),
        (["test/per_class/cat_acc", "test/accuracy", "val_loss"], "test/accuracy"),
        (["test/per_class/cat_acc"], "test/per_class/cat_acc"),
        (["reward", "train/lr"], None),
        ([], None),
    ],
)
def test_runs_are_judged_by_unseen_data_first(metrics, main):
    assert main_metric(metrics) == main


def test_the_names_of_the_bundled_trainer_are_all_placed():
    names = [value for name, value in vars(Metric).items() if name.isupper()]
    placed = {place_of(name) for name in names}
    assert placed == {Place.TRAINING, Place.SYSTEM}


def test_a_fork_is_compared_from_the_step_at_which_it_parted(home):
    child, parent = read_run(home, s.GENTLER), read_run(home, s.BASELINE)
    metrics = ["test/loss", "test/accuracy", "train/lr", "nothing"]
    loss, accuracy, rate = metric_differences(child, parent, metrics, 5)
    assert (loss.common_step, loss.verdict, accuracy.verdict) == (9, "better", "better")
    assert loss.change == pytest.approx(-0.15)
    assert loss.best == (pytest.approx(0.165), pytest.approx(0.315))
    assert (rate.change, rate.verdict, rate.best) == (0.0, "not comparable", (None, None))


def test_runs_with_no_step_in_common_are_not_compared(tmp_path):
    parent = s.run_file("rparent")
    child = s.run_file("rchild", origin=Origin(run="rparent", checkpoint="step-5"))
    for file, steps in ((parent, range(0, 20, 2)), (child, range(7, 20, 2))):
        logged = [t.metrics(step, loss=1.0) for step in steps]
        s.put_run(tmp_path, file, [s.started(file), *logged])
    page = what_changed(read_run(tmp_path, "rchild"), read_run(tmp_path, "rparent"))
    assert "no metric at the same step" in page.intro[1]
    (numbers,) = [section for section in page.sections if section.title == "In numbers"]
    (row,) = numbers.panels[0].rows
    assert row[:6] == ["loss", None, None, None, "—", "not comparable"]


def test_who_comes_from_another_run_is_not_compared_with_this_one(home):
    with pytest.raises(ValueError, match="rgentler does not come from rother"):
        what_changed(read_run(home, s.GENTLER), read_run(home, s.OTHER))


def test_a_fork_from_before_the_first_step_is_compared_from_there(tmp_path):
    parent = s.run_file("rparent")
    child = s.run_file("rchild", origin=Origin(run="rparent", checkpoint="initial"))
    for file in (parent, child):
        logged = [Metrics(time=0.0, step=step, values={"loss": 1.0}) for step in range(3)]
        s.put_run(tmp_path, file, [s.started(file), *logged])
    page = what_changed(read_run(tmp_path, "rchild"), read_run(tmp_path, "rparent"))
    assert "begin from the same weights" in page.intro[2]
    assert "is 1 in both runs" in page.intro[1]


def test_settings_are_compared_by_dotted_name():
    assert differing([{"a": 1, "b": 1}, {"a": True, "b": 1}]) == ["a"]
    assert differing([{"a": None}, {}]) == ["a"]
    assert differing([{"a": 1}]) == []


def test_a_live_parameter_counts_as_it_was_last(home):
    runs = [read_run(home, s.BASELINE), read_run(home, s.GENTLER)]
    assert config_of(runs[1])["optimizer.lr"] == 0.1  # the fork's own configuration is its parent's
    assert columns_to_compare(runs) == [Column(source="parameter", name="optimizer.lr")]


def test_importance_is_spearmans():
    assert spearman([(1, 1), (2, 4), (3, 9), (4, 16)]) == pytest.approx(1)
    assert spearman([(1, 4), (2, 3), (3, 2), (4, 1)]) == pytest.approx(-1)
    # Ties share their mean rank: 1, 2.5, 2.5, 4 against 1, 2, 3, 4 gives 4.5 / sqrt(4.5 * 5).
    assert spearman([(1, 1), (2, 2), (2, 3), (3, 4)]) == pytest.approx(4.5 / np.sqrt(22.5))
    assert spearman([(1, 1), (1, 2), (1, 3), (1, 4)]) is None


def many_runs(tmp_path, count):
    for index in range(count):
        file = s.run_file(f"r{index}", config={"width": index, "kind": f"k{index}", "same": 1})
        logged = [t.metrics(0, val_loss=float(count - index))]
        s.put_run(tmp_path, file, [s.started(file, values={}), *logged])
    return read_experiment(tmp_path, s.EXPERIMENT).runs


def test_importance_ranks_numbers_and_names_what_it_left_out(tmp_path):
    runs = many_runs(tmp_path, 4)
    ranking = rank(runs, columns_to_compare(runs), "val_loss")
    (found,) = ranking.correlations
    assert (found.column.name, found.value, found.runs) == ("width", pytest.approx(-1), 4)
    assert ranking.left_out == ["kind"]


def test_too_few_runs_are_not_ranked(tmp_path):
    runs = many_runs(tmp_path, 3)
    assert rank(runs, columns_to_compare(runs), "val_loss").correlations == []


def test_of_very_many_runs_the_best_stand_side_by_side(tmp_path):
    for index in range(20):
        file = s.run_file(f"r{index:02}")
        logged = [t.metrics(0, val_loss=float(index % 10)), t.media(0, "matrix", s.matrix(8))]
        s.put_run(tmp_path, file, [s.started(file), *logged])
    page = comparison(read_experiment(tmp_path, s.EXPERIMENT).runs)
    (section,) = [section for section in page.sections if section.title == "Per-class"]
    assert section.explanation.endswith("Of 20 runs, the 12 best by val_loss are shown.")
    assert section.panels[0].runs == [
        f"r{n:02}" for n in (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15)
    ]


def test_what_the_program_said_at_the_end_and_meanwhile_is_shown(tmp_path):
    file = s.run_file(t.RUN)
    notice = Notice(at=t.moment(1), message="the disk is slow")
    ended = t.status(RunStatus.FINISHED, 3, worst="cat", share=0.123456)
    logged = [t.checkpoint(2, best=True), t.checkpoint(3), notice, ended]
    s.put_run(tmp_path, file, [s.started(file), *logged])
    page = monitor(read_run(tmp_path, t.RUN))
    facts, notices = page.sections[-1].panels
    told = dict(facts.rows)
    assert (told["summary: worst"], told["summary: share"]) == ("cat", 0.123456)
    assert told["checkpoints kept"] == "2 checkpoints, the best is step-2"
    assert notices.rows == [[t.RUN, "the disk is slow"]]


def test_a_comparison_of_one_run_says_that_there_is_nothing_to_compare(home):
    page = comparison([read_run(home, s.BASELINE)])
    (settings,) = [section for section in page.sections if section.title == "Settings"]
    assert settings.empty == "There is only one run, so nothing to compare it with."


def test_what_could_not_be_read_is_told_at_the_top(home):
    page = comparison([read_run(home, s.BASELINE)], ["run rx is left out: why"])
    assert page.intro[-1] == (
        "1 thing could not be read, and is missing here: run rx is left out: why."
    )
