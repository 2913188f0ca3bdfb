"""Event files: every value of the log at its step and time, once, whatever was there before."""

import io
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import parse_session_end_info_plugin_data
from tracked_runs import (
    BEGIN_SECONDS,
    RUN,
    lr_set,
    media,
    metrics,
    put_run,
    started,
    status,
    write,
)

from midcourse.contract.base import Record
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFile, ImageFiles, Table
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunFile, RunStatus
from midcourse.tracking.home import NoSuchRun, choose, read_run, runs_of
from midcourse.tracking.tensorboard.log_folder import FolderInUse, LogFolder, sole_writer
from midcourse.tracking.tensorboard.markdown import MOST_ROWS, table, table_of
from midcourse.tracking.tensorboard.names import clean, places
from midcourse.tracking.tensorboard.picture import heat_map
from midcourse.tracking.tensorboard.run_writer import MARK, RunWriter, read_mark
from midcourse.tracking.tensorboard.tracker import _hyperparameters


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    return paths


def writer(paths: RunPaths, note: Callable[[str], None] = pytest.fail) -> RunWriter:
    run = read_run(paths.folder)
    assert run is not None
    return RunWriter(run, paths.home / "events" / "digits" / RUN, note)


def events(paths: RunPaths, *records: Record) -> EventAccumulator:
    """What TensorBoard reads of a run with this log."""
    write(paths, *records)
    one = writer(paths)
    one.look()
    one.close()
    return read(one.target)


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    found.Reload()
    return found


def single(value: float) -> float:
    """The nearest number of single precision, as which TensorBoard keeps it."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def curve(found: EventAccumulator, tag: str) -> list[tuple[int, float, float]]:
    return [(point.step, point.wall_time, point.value) for point in found.Scalars(tag)]


def texts(found: EventAccumulator, tag: str) -> list[tuple[int, str]]:
    return [(each.step, each.tensor_proto.string_val[0].decode()) for each in found.Tensors(tag)]


def test_every_value_stands_at_its_step_with_its_time(paths: RunPaths) -> None:
    log = [
        metrics(step, train__loss=1.0 / (step + 1), **({"test__loss": 0.3} if step % 3 else {}))
        for step in range(50)
    ]
    found = events(paths, started(), *log, status(RunStatus.FINISHED, 49))
    for name in ("train/loss", "test/loss"):
        assert curve(found, name) == [
            (one.step, one.time, single(one.values[name])) for one in log if name in one.values
        ]
    assert curve(found, "param/optimizer.lr") == [(0, BEGIN_SECONDS, single(0.1))]


def test_what_is_not_finite_is_shown_as_such(paths: RunPaths) -> None:
    found = events(
        paths,
        started(),
        metrics(0, loss="NaN", up="Infinity", down="-Infinity"),
        status(RunStatus.STOPPED, 0),
    )
    [[_, _, loss]] = curve(found, "loss")
    assert math.isnan(loss)
    assert [curve(found, name)[0][2] for name in ("up", "down")] == [math.inf, -math.inf]


def test_a_redo_is_told_once(paths: RunPaths) -> None:
    found = events(
        paths,
        started(),
        *(metrics(step, loss=float(step)) for step in range(5)),
        started(next_step=3, attempt=2),
        *(metrics(step, loss=float(step)) for step in range(3, 7)),
        status(RunStatus.FINISHED, 6),
    )
    assert [(step, value) for step, _, value in curve(found, "loss")] == [
        (step, float(step)) for step in range(7)
    ]


def test_interventions_are_dots_steps_in_curves_and_a_table(paths: RunPaths) -> None:
    found = events(
        paths,
        started(),
        *(metrics(step, loss=1.0) for step in range(3)),
        lr_set(1, 2, 0.1, 0.01),
        *(metrics(step, loss=1.0) for step in range(3, 5)),
        status(RunStatus.FINISHED, 4),
    )
    assert [(step, value) for step, _, value in curve(found, "intervention")] == [(2, 1.0)]
    lr = [(step, value) for step, _, value in curve(found, "param/optimizer.lr")]
    assert lr == [(0, single(0.1)), (2, single(0.1)), (3, single(0.01))]
    [[step, told]] = texts(found, "interventions")
    assert step == 2
    assert "| 1 | 2 | ada | set | optimizer.lr | 0.1 | 0.01 | it diverges | applied |" in told


def test_pictures_matrices_bars_and_tables_are_shown(paths: RunPaths) -> None:
    paths.media.mkdir()
    Image.new("RGB", (7, 5), "red").save(paths.media / "a.png")
    Image.new("RGB", (3, 9), "red").save(paths.media / "b.bmp")
    images = [ImageFile(path="media/a.png", caption="5 for a 6"), ImageFile(path="media/b.bmp")]
    found = events(
        paths,
        started(),
        media(0, "examples", ImageFiles(images=images)),
        media(0, "matrix", ConfusionMatrix(labels=["cat", "dög"], counts=[[3, 1], [0, 2]])),
        media(0, "bars", Bars(labels=["cat", "dog"], values=[0.25, 142.0], value_title="count")),
        media(0, "table", Table(columns=["a|b", "c"], rows=[["x\ny", None], [True, [1, "*"]]])),
        status(RunStatus.FINISHED, 0),
    )
    width, height, *files = found.Tensors("examples")[0].tensor_proto.string_val
    assert (width, height) == (b"7", b"9")
    assert files[0] == (paths.media / "a.png").read_bytes()
    assert [Image.open(io.BytesIO(file)).format for file in files] == ["PNG", "PNG"]
    assert "| 0 | 5 for a 6 |" in texts(found, "examples/captions")[0][1]
    drawn = Image.open(io.BytesIO(found.Tensors("matrix")[0].tensor_proto.string_val[2]))
    assert drawn.width > drawn.height > 80
    assert "| cat | 3 | 1 |\n| dög | 0 | 2 |" in texts(found, "matrix/counts")[0][1]
    assert texts(found, "bars")[0][1] == (
        "| class | count |\n| --- | --- |\n| cat | 0.25 |\n| dog | 142 |"
    )
    assert texts(found, "table")[0][1].splitlines() == [
        r"| a\|b | c |",
        "| --- | --- |",
        "| x y |   |",
        r'| true | \[1, "\*"\] |',
    ]


def test_what_cannot_be_drawn_is_told_and_left_out(paths: RunPaths) -> None:
    write(
        paths,
        started(),
        metrics(0, loss=1.0),
        media(0, "gone", ImageFiles(images=[ImageFile(path="media/none.png")])),
        media(0, "matrix", ConfusionMatrix(labels=["a"], counts=[[1, 2]])),
        media(0, "bars", Bars(labels=["a", "b"], values=[1.0])),
        status(RunStatus.FINISHED, 0),
    )
    told: list[str] = []
    one = writer(paths, told.append)
    one.look()
    one.close()
    assert [note.partition(" of step 0 not shown: ")[0] for note in told] == [
        "gone",
        "matrix",
        "bars",
    ]
    assert len(curve(read(one.target), "loss")) == 1


def test_the_configuration_is_told_as_text_and_as_hyperparameters(paths: RunPaths) -> None:
    found = events(
        paths,
        started(config={"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "deterministic": True}),
        metrics(0, test__accuracy=0.5),
        status(RunStatus.FAILED, 0, note="done"),
    )
    [[_, config]] = texts(found, "config")
    assert json.loads(config.strip("`"))["optimizer"] == {"lr": 0.1, "betas": [0.9, 0.99]}
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    begin = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert begin.hparams["optimizer.lr"].number_value == 0.1
    assert begin.hparams["optimizer.betas"].string_value == "[0.9, 0.99]"
    assert begin.hparams["deterministic"].bool_value is True
    assert begin.group_name == RUN
    content = found.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert parse_session_end_info_plugin_data(content).status == 2, "failure"
    [[_, about]] = texts(found, "midcourse")
    assert json.loads(about.strip("`"))["parameters"]["optimizer"]["lr"] == 0.1
    summary = texts(found, "summary")[0][1]
    assert "| midcourse/status | failed |" in summary
    assert "| note | done |" in summary
    assert "| best/test/accuracy | 0.5 |" in summary.replace("\\", "")


def test_a_growing_log_is_followed_into_the_same_file(paths: RunPaths) -> None:
    write(paths, started(), metrics(0, loss=0.0), metrics(1, loss=1.0))
    one = writer(paths)
    one.look(lambda _: True)
    [file] = one.target.glob("*tfevents*")
    assert len(curve(read(one.target), "loss")) == 1, "step 1 may not be complete"
    write(paths, metrics(2, loss=2.0), metrics(3, loss=3.0))
    one.look(lambda _: True)
    assert [file] == list(one.target.glob("*tfevents*"))
    assert [point[0] for point in curve(read(one.target), "loss")] == [0, 1, 2]
    mark = read_mark(one.target)
    assert mark is not None
    assert mark.log_bytes is None, "more is to come"
    size = write(paths, status(RunStatus.INTERRUPTED, 3))
    one.look(lambda _: True)
    assert [point[0] for point in curve(read(one.target), "loss")] == [0, 1, 2, 3]
    assert read_mark(one.target).log_bytes == size
    write(paths, started(next_step=4, attempt=2), metrics(4, loss=4.0), metrics(5, loss=5.0))
    one.look(lambda _: True)
    assert [point[0] for point in curve(read(one.target), "loss")] == [0, 1, 2, 3, 4]
    assert read_mark(one.target).log_bytes is None
    one.close()


def test_a_crashed_run_is_whole_with_its_last_step(paths: RunPaths) -> None:
    found = events(paths, started(), metrics(0, loss=0.0), metrics(1, loss=1.0))
    assert [point[0] for point in curve(found, "loss")] == [0, 1]
    assert "| midcourse/status | interrupted |" in texts(found, "summary")[0][1]


def test_what_is_whole_is_not_written_again_and_what_is_not_leaves_no_double(
    paths: RunPaths,
) -> None:
    write(paths, started(), metrics(0, loss=0.0), metrics(1, loss=1.0))
    first = writer(paths)
    first.look(lambda _: True)  # and this process is killed: the file stays open
    watching = EventAccumulator(str(first.target), size_guidance={"scalars": 0})
    watching.Reload()
    write(paths, metrics(2, loss=2.0), status(RunStatus.FINISHED, 2))
    second = writer(paths)
    second.look()
    files = set(first.target.glob("*tfevents*"))
    assert [file.stat().st_size > 0 for file in sorted(files)] == [False, True]
    assert [point[0] for point in curve(read(first.target), "loss")] == [0, 1, 2]
    watching.Reload()
    assert [point.step for point in watching.Scalars("loss")] == [0, 1, 2], "one that was open"
    third = writer(paths)
    third.look()
    assert set(first.target.glob("*tfevents*")) == files
    for each in (first, second, third):
        each.close()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("baseline 2", "baseline 2"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc", "_etc"),
        (".hidden", "hidden"),
        ("...", ""),
        ("a\x00b\nc", "a_b_c"),
        ("größer", "größer"),
        ("x" * 200, "x" * 120),
        ("ü" * 200, "ü" * 60),
        ("<script>alert(1)</script>", "_script_alert_1___script_"),
    ],
)
def test_a_name_becomes_one_folder(name: str, safe: str) -> None:
    assert clean(name) == safe


def test_each_run_has_a_name_of_its_own_and_new_ones_change_none() -> None:
    def run(run_id: str, name: str | None, experiment: str = "digits") -> RunFile:
        return RunFile(id=run_id, experiment=experiment, name=name, seed=0)

    runs = [run("r1", "first"), run("r2", None), run("r3", "First"), run("r4", "first", "other")]
    assert places(runs) == {
        "r1": "digits/first",
        "r2": "digits/r2",
        "r3": "digits/First (r3)",
        "r4": "other/first",
    }


def put(home: Path, run_id: str, name: str | None = None, begin: int = 0) -> RunPaths:
    paths = RunPaths(home, run_id)
    run = started().run.model_copy(update={"id": run_id, "name": name})
    paths.folder.mkdir(parents=True)
    paths.run_file.write_text(run.to_json())
    first = started(next_step=begin).model_copy(update={"run": run})
    write(paths, first, metrics(begin, loss=1.0), status(RunStatus.FINISHED, begin))
    return paths


def test_a_folder_shows_the_runs_that_are_asked_for_and_no_others(tmp_path: Path) -> None:
    put(tmp_path, "rb", "same", begin=1)
    put(tmp_path, "ra", "same", begin=2)
    folder = tmp_path / "tensorboard"
    theirs = folder / "digits" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "events.out.tfevents.1").touch()

    def shown(*words: str) -> list[str]:
        logs = LogFolder(folder, lambda: choose(tmp_path, words), pytest.fail)
        logs.look()
        logs.close()
        on_disk = {path.parent.relative_to(folder).as_posix() for path in folder.rglob(MARK)}
        assert {name for _, name in logs.shown} == on_disk
        return sorted(on_disk)

    assert shown() == ["digits/same", "digits/same (ra)"], "the older one has the name alone"
    assert shown("ra") == ["digits/same"]
    assert (theirs / "events.out.tfevents.1").exists()


def test_a_run_that_begins_later_is_shown_and_one_that_cannot_be_read_hurts_no_other(
    tmp_path: Path,
) -> None:
    bad = put(tmp_path, "ra")
    bad.run_log.unlink()
    bad.run_log.mkdir()
    told: list[str] = []
    logs = LogFolder(tmp_path / "tensorboard", lambda: runs_of(tmp_path), told.append)
    logs.look()
    put(tmp_path, "rb")
    logs.look()
    logs.look()
    logs.close()
    assert [name for _, name in logs.shown] == ["digits/rb"]
    [sentence] = told
    assert sentence.startswith("run ra is not shown (")


def test_what_others_have_put_there_is_not_touched(tmp_path: Path) -> None:
    put(tmp_path, "ra")
    theirs = tmp_path / "tensorboard" / "digits" / "ra" / "events.out.tfevents.1"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    told: list[str] = []
    logs = LogFolder(tmp_path / "tensorboard", lambda: runs_of(tmp_path), told.append)
    logs.look()
    logs.close()
    assert theirs.read_text() == "theirs"
    assert "was not written by Midcourse" in told[0]
    assert logs.shown == []


def test_one_at_a_time_writes_into_a_folder(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "a"):
        with pytest.raises(FolderInUse, match="--logdir"), sole_writer(tmp_path / "a"):
            pass
        with sole_writer(tmp_path / "b"):
            pass
    with sole_writer(tmp_path / "a"):
        pass


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["rabc", "rabd", "rx"]),
        (["rabc"], ["rabc"]),
        (["rx", "first", "rx"], ["rabc", "rx"]),
        (["rx"], ["rx"]),
    ],
)
def test_runs_are_chosen_by_id_or_name(tmp_path: Path, words: list[str], found: list[str]) -> None:
    put(tmp_path, "rabc", "first")
    put(tmp_path, "rabd")
    put(tmp_path, "rx", "rabd")
    assert [run.id for run in choose(tmp_path, words)] == found
    [by_folder] = choose(tmp_path / "elsewhere", [str(tmp_path / "runs" / "rx")])
    assert by_folder.paths.folder == tmp_path / "runs" / "rx"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nothing", "there is no run 'nothing' in "),
        ("rab", "'rab' may be any of rabc, rabd: give more of the id"),
        ("./runs/none", "./runs/none is no run's folder"),
    ],
)
def test_a_word_that_names_no_single_run_is_refused(
    tmp_path: Path, word: str, message: str
) -> None:
    put(tmp_path, "rabc")
    put(tmp_path, "rabd")
    with pytest.raises(NoSuchRun) as raised:
        choose(tmp_path, [word])
    assert message in str(raised.value)


def test_a_long_table_is_cut_and_says_so() -> None:
    text = table(["n"], [[number] for number in range(MOST_ROWS + 5)])
    assert text.count("\n") == 2 + MOST_ROWS + 1
    assert text.endswith("and 5 more rows, in the run's log")


@pytest.mark.parametrize("classes", [0, 1, 10, 100, 1000])
def test_a_matrix_of_any_size_is_a_picture_of_some_size(classes: int) -> None:
    counts = [[1] * classes for _ in range(classes)]
    width, height = heat_map(ConfusionMatrix(labels=["x"] * classes, counts=counts)).size
    assert 1 <= height <= 2000
    assert 1 <= width <= 2100


def test_of_very_many_classes_the_fullest_cells_are_told() -> None:
    counts = [[0] * 101 for _ in range(101)]
    counts[3][4], counts[5][5] = 7, 9
    matrix = ConfusionMatrix(labels=[str(label) for label in range(101)], counts=counts)
    assert table_of(matrix).splitlines()[2:] == ["| 5 | 5 | 9 |", "| 3 | 4 | 7 |"]


def test_a_configuration_is_flattened() -> None:
    config: dict[str, Any] = {"a": {"b": {"c": 1}, "d": None, "e": {}}, "f": "x", "g": [1]}
    assert _hyperparameters(config) == {"a.b.c": 1, "a.e": "{}", "f": "x", "g": "[1]"}
