"""What runs left on disk, read into records: whatever state their files are in."""

import math
import shutil

import numpy as np
import pytest
import shown_runs as s
import tracked_runs as t

from dashboards.home import NothingToShow, experiment_names, read_experiment, read_run
from dashboards.kept_media import MOST_STEPS
from dashboards.lineage import lineage
from dashboards.pages import monitor
from dashboards.series import Series, as_said
from midcourse.contract.commands import TakeCheckpoint, Undo
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import CheckpointDeleted, Notice, parse_record
from midcourse.contract.runs import Origin, RunLabels, RunStatus
from midcourse.tracking.follow import Follower
from midcourse.tracking.tracker import NullTracker, Row


@pytest.fixture
def home(tmp_path):
    return s.put_experiment(tmp_path / "home")


def read(home, records, **more):
    file = s.run_file(t.RUN, **more)
    s.put_run(home, file, [s.started(file), *records])
    return read_run(home, t.RUN)


def points(run, name):
    series = run.series[name]
    return dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def test_a_run_is_read_whole(home):
    run = read_run(home, s.BASELINE)
    assert (run.id, run.label, run.experiment) == ("rbaseline", "baseline (rbaseline)", "digits")
    assert (run.status, run.last_step, run.total_steps) == (RunStatus.FINISHED, 9, 10)
    assert points(run, "train/loss")[4] == 0.2
    assert run.best("train/loss").step == 4
    assert run.best("test/accuracy").value == pytest.approx(0.8)
    assert run.best("train/lr") is None
    assert [each.name for each in run.checkpoints] == ["step-5"]
    assert run.summary == {"test_accuracy": 0.7}
    assert [each.step for each in run.media["test/confusion_matrix"]] == [4, 9]
    assert run.values["optimizer.lr"] == 0.05
    assert run.faults == ()


def test_an_intervention_is_a_row_of_what_w_and_b_shows(home):
    (row,) = read_run(home, s.BASELINE).interventions
    assert (row.seq, row.step, row.actor, row.command) == (1, 4, "ada", "set")
    assert (row.parameter, row.before, row.after) == ("optimizer.lr", 0.1, 0.05)
    assert (row.reason, row.state, row.time) == ("it diverges", "applied", t.moment(4))


def test_a_live_parameter_is_a_curve_with_a_step_at_each_change(home):
    run = read_run(home, s.BASELINE)
    assert points(run, "param/optimizer.lr") == {0: 0.1, 4: 0.1, 5: 0.05, 9: 0.05}
    assert points(run, "param/model.dropout") == {0: 0.5, 9: 0.5}
    assert "param/train.grad_clip" not in run.series


def test_a_forks_curve_begins_with_its_change(home):
    run = read_run(home, s.GENTLER)
    assert run.branched_at == 5
    assert points(run, "param/optimizer.lr") == {5: 0.05, 6: 0.01, 9: 0.01}


def test_the_points_of_a_parameter_are_those_that_the_tracker_sends(home):
    """One curve, told twice: what W&B has is here too, at the same steps."""
    sent = {}

    class Recording(NullTracker):
        def log(self, row: Row) -> None:
            for name, value in row.values.items():
                if name.startswith("param/"):
                    sent.setdefault(name, {})[row.step] = value

    for run_id in (s.BASELINE, s.GENTLER):
        sent.clear()
        follower = Follower(lambda _: Recording())
        follower.feed([*records_of(home, run_id)])
        run = read_run(home, run_id)
        assert sent
        for name, values in sent.items():
            assert values.items() <= points(run, name).items()


def records_of(home, run_id):
    log = RunPaths(home, run_id).run_log.read_bytes()
    return [parse_record(line) for line in log.splitlines()]


def test_a_redo_leaves_no_trace(tmp_path):
    file = s.run_file(t.RUN)
    again = s.started(file, 1, attempt=2)
    run = read(
        tmp_path,
        [
            t.metrics(0, loss=3.0),
            t.metrics(1, loss=2.0),
            t.lr_set(1, 1, 0.1, 0.05),
            t.metrics(2, loss=1.0),
            again,
            t.metrics(1, loss=2.0),
            t.lr_set(1, 1, 0.1, 0.05),
            t.metrics(2, loss=99.0),
            t.metrics(3, loss=0.5),
        ],
    )
    assert points(run, "loss") == {0: 3.0, 1: 2.0, 2: 1.0, 3: 0.5}
    assert len(run.interventions) == 1
    assert points(run, "param/optimizer.lr") == {0: 0.1, 1: 0.1, 2: 0.05, 3: 0.05}
    assert run.values["optimizer.lr"] == 0.05
    assert [each.number for each in run.attempts] == [1, 2]
    assert run.status is RunStatus.RUNNING


@pytest.mark.parametrize(
    "record",
    [
        t.lr_set(1, 1, 0.1, 0.05, state=CommandState.REJECTED, reason="no"),
        t.done(1, 1, Undo(child="rchild"), after={"run": "rchild", "step": 3}),
        t.done(1, 1, TakeCheckpoint(), after={"checkpoint": "step-1"}),
    ],
)
def test_what_changes_no_parameter_is_told_and_draws_no_step(tmp_path, record):
    run = read(tmp_path, [t.metrics(1, loss=1.0), record])
    assert len(run.interventions) == 1
    assert set(points(run, "param/optimizer.lr").values()) == {0.1}
    assert run.values["optimizer.lr"] == 0.1


def test_a_dry_run_is_no_intervention(tmp_path):
    action = t.lr_set(1, 1, 0.1, 0.05).command.action
    dry = t.done(1, 1, action, after={"optimizer.lr": 0.05}, dry_run=True)
    run = read(tmp_path, [t.metrics(1, loss=1.0), dry])
    assert run.interventions == ()
    assert run.values["optimizer.lr"] == 0.1


def test_damaged_lines_are_skipped_and_told(tmp_path):
    damaged = ["{", "nonsense", '{"type":"metrics","step":1}', '{"type":"unknown"}', "[]"]
    run = read(tmp_path, [t.metrics(0, loss=1.0), *damaged, t.metrics(2, loss=0.5)])
    assert points(run, "loss") == {0: 1.0, 2: 0.5}
    assert len(run.faults) == 4
    assert "a line of the run log is damaged, at byte " in run.faults[0]
    assert run.faults[-1] == "2 more lines are damaged"


def test_an_unfinished_last_line_is_left_to_its_writer(tmp_path):
    read(tmp_path, [t.metrics(0, loss=1.0)])
    with RunPaths(tmp_path, t.RUN).run_log.open("a") as log:
        log.write('{"type":"metrics","ti')
    run = read_run(tmp_path, t.RUN)
    assert (points(run, "loss"), run.faults) == ({0: 1.0}, ())


def test_what_is_not_finite_stays(tmp_path):
    run = read(tmp_path, [t.metrics(0, loss=1.0), t.metrics(1, loss="NaN")])
    assert math.isnan(run.series["loss"].values[1])
    assert run.best("loss").value == 1.0


def test_deleted_checkpoints_are_not_there(tmp_path):
    deleted = CheckpointDeleted(at=t.moment(9), name="step-3")
    run = read(tmp_path, [t.checkpoint(3), t.checkpoint(6), deleted])
    assert [each.name for each in run.checkpoints] == ["step-6"]


def test_notices_and_the_reason_of_a_status_are_kept(tmp_path):
    ended = t.status(RunStatus.FAILED, 3).model_copy(update={"reason": "out of memory"})
    run = read(tmp_path, [Notice(at=t.moment(1), message="slow disk"), ended])
    assert (run.notices, run.status, run.reason) == (
        ("slow disk",),
        RunStatus.FAILED,
        "out of memory",
    )


def test_of_very_many_media_a_few_are_kept_the_first_and_the_newest_among_them(tmp_path):
    run = read(tmp_path, [t.media(step, "matrix", s.matrix(8)) for step in range(1000)])
    steps = [each.step for each in run.media["matrix"]]
    assert (steps[0], steps[-1]) == (0, 999)
    assert MOST_STEPS // 2 <= len(steps) <= MOST_STEPS + 1
    gaps = np.diff(steps[:-1])
    assert len(set(gaps.tolist())) == 1  # spread evenly


def test_versions_and_tracking_are_read_where_they_are(tmp_path):
    run = read(tmp_path, [t.checkpoint(3)])
    assert (run.versions, run.tracking) == ({}, None)
    paths = RunPaths(tmp_path, t.RUN)
    t.put_checkpoint(paths, t.checkpoint(3))
    paths.tracking.mkdir()
    paths.tracking_status.write_text('{"mode":"offline","folder":"f"}')
    assert read_run(tmp_path, t.RUN).tracking.mode == "offline"
    paths.tracking_status.write_text("{")
    run = read_run(tmp_path, t.RUN)
    assert run.tracking is None
    assert "tracking/status.json is not used" in run.faults[0]


def test_an_experiment_has_its_runs_and_no_others(home):
    file = s.run_file("relse", experiment="else")
    s.put_run(home, file, [s.started(file)])
    assert experiment_names(home) == ["digits", "else"]
    assert {run.id for run in read_experiment(home, "digits").runs} == {
        s.BASELINE,
        s.GENTLER,
        s.OTHER,
    }


def test_what_a_deleted_run_left_for_others_is_no_run(home):
    paths = RunPaths(home, s.BASELINE)
    paths.run_log.unlink()  # as the control API deletes: run.json and a checkpoint stay
    experiment = read_experiment(home, "digits")
    assert experiment.run(s.BASELINE) is None
    tree = {branch.id: branch for branch in lineage(experiment.runs)}
    assert tree[s.BASELINE].run is None
    assert (tree[s.GENTLER].parent, tree[s.GENTLER].depth) == (s.BASELINE, 1)


def test_a_run_that_cannot_be_read_is_told(home):
    RunPaths(home, s.OTHER).run_file.write_text("{}")
    experiment = read_experiment(home, "digits")
    assert {run.id for run in experiment.runs} == {s.BASELINE, s.GENTLER}
    assert experiment.faults[0].startswith("run rother is left out: its run.json says: ")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda home: read_experiment(home, "mnist"), "there are: digits"),
        (lambda home: read_experiment(home / "none", "mnist"), "there is no home at"),
        (lambda home: read_run(home, "rnone"), "there are: rbaseline, rgentler, rother"),
        (lambda home: read_run(home, "twin"), "'twin' may be any of rgentler, rother"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(home, ask, message):
    for run in (s.GENTLER, s.OTHER):
        RunPaths(home, run).run_file.write_text(s.run_file(run, name="twin").to_json())
    with pytest.raises(NothingToShow) as caught:
        ask(home)
    assert message in str(caught.value)


def test_a_copy_of_a_runs_folder_is_no_second_run(home):
    shutil.copytree(RunPaths(home, s.OTHER).folder, RunPaths(home, "rother-old").folder)
    experiment = read_experiment(home, "digits")
    assert len(experiment.runs) == 3
    assert experiment.faults == ("the folder rother-old is left out: it is a copy of run rother",)


def test_a_run_is_found_by_its_name_too(home):
    assert read_run(home, "gentler").id == s.GENTLER


def test_a_name_that_is_anothers_id_means_that_run(home):
    RunPaths(home, s.OTHER).run_file.write_text(s.run_file(s.OTHER, name=s.BASELINE).to_json())
    assert read_run(home, s.BASELINE).id == s.BASELINE


def call(home, run, **labels):
    RunPaths(home, run).labels.write_text(RunLabels(**labels).to_json())


def test_a_renamed_run_has_its_new_name_and_is_found_by_both(home):
    call(home, s.BASELINE, name="first light", tags=["good", "old"], notes="see the lab book")
    run = read_run(home, "first light")
    assert (run.id, run.label) == (s.BASELINE, "first light (rbaseline)")
    assert read_run(home, "baseline").id == s.BASELINE
    facts = dict(monitor(run).sections[-1].panels[-1].rows)
    assert (facts["tags"], facts["notes"]) == ("good, old", "see the lab book")
    call(home, s.OTHER, name="baseline")
    assert read_run(home, "baseline").id == s.OTHER, "what it is called now comes first"
    call(home, s.GENTLER, name="baseline")
    with pytest.raises(NothingToShow, match="may be any of rgentler, rother"):
        read_run(home, "baseline")


def test_labels_without_a_name_leave_it_and_damaged_ones_are_told(home):
    call(home, s.BASELINE, tags=["good"])
    assert read_run(home, s.BASELINE).label == "baseline (rbaseline)"
    RunPaths(home, s.BASELINE).labels.write_text("{")
    run = read_run(home, "baseline")
    assert run.label == "baseline (rbaseline)"
    assert run.faults[0].startswith("labels.json is not used: ")


def test_parents_that_name_each_other_make_no_endless_tree(home):
    for one, other in ((s.BASELINE, s.GENTLER), (s.GENTLER, s.BASELINE)):
        file = s.run_file(one, origin=Origin(run=other, checkpoint="step-5"))
        RunPaths(home, one).run_file.write_text(file.to_json())
    tree = lineage(read_experiment(home, "digits").runs)
    assert sorted(branch.id for branch in tree) == sorted([s.BASELINE, s.GENTLER, s.OTHER])
    assert [branch.depth for branch in tree if branch.id != s.OTHER] == [0, 1]


def test_a_lineage_of_thousands_is_no_deeper_than_python_goes(tmp_path):
    first, runs = s.run_file("r0"), []
    s.put_run(tmp_path, first, [s.started(first)])
    root = read_run(tmp_path, "r0")
    for index in range(3000):
        origin = None if index == 0 else Origin(run=f"r{index - 1}", checkpoint="step-5")
        runs.append(type(root)(s.run_file(f"r{index}", origin=origin), tmp_path, root.status))
    assert lineage(runs)[-1].depth == 2999


def test_thinning_keeps_the_ends_and_every_spike():
    values = np.sin(np.arange(100_000) / 1000)
    values[31_337], values[4_242], values[77_777] = 50.0, -50.0, np.nan
    thin = Series(np.arange(100_000), values).thinned(300)
    assert len(thin) <= 300
    kept = dict(zip(thin.steps.tolist(), thin.values.tolist(), strict=True))
    assert (kept[31_337], kept[4_242]) == (50.0, -50.0)
    assert math.isnan(kept[77_777])
    assert {0, 99_999} <= kept.keys()
    assert all(values[step] == value for step, value in kept.items() if not math.isnan(value))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 7, 100])
def test_thinning_takes_series_of_any_length(count):
    series = Series(np.arange(count), np.zeros(count))
    assert len(series.thinned(5)) == min(count, len(series.thinned(5))) <= 5


def test_of_a_step_that_is_said_twice_the_first_value_stands():
    series = as_said([0, 2, 1, 2], [1.0, 2.0, 3.0, 9.0], [0.0, 1.0, 2.0, 3.0])
    assert series.steps.tolist() == [0, 1, 2]
    assert series.values.tolist() == [1.0, 3.0, 2.0]
    assert series.times.tolist() == [0.0, 2.0, 1.0]
