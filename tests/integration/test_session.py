"""What a training loop sees of a session, and what the run log tells of it afterwards."""

import contextlib
import gc
import math
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from served import wait_for
from tiny_run import command, receipts, records, set_up, start, statuses, train

import midcourse
from midcourse import branch as branch_module
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.errors import InvalidInput, MidcourseError
from midcourse.contract.media import ImageFiles
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointFailed,
    CheckpointWritten,
    MediaLogged,
    Metrics,
    Notice,
    Started,
    StatusChanged,
)
from midcourse.errors import RunBusy, RunEnded
from midcourse.session import Session


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


# -- steps, epochs, intervals -----------------------------------------------------------------


def test_steps_and_epochs_are_counted_from_zero(tmp_path: Path) -> None:
    seen: list[Any] = []
    with start(tmp_path) as run:
        work = set_up(run)
        assert (run.last_step, run.current_step, run.total_steps) == (None, 0, None)
        for _ in run.batches(torch.arange(9), batch_size=4, epochs=2):
            work()
            seen.append((run.current_step, run.last_step, run.epoch, run.is_epoch_end))
            run.step()
        assert (run.last_step, run.total_steps) == (5, 6)
    assert seen == [
        (0, None, 0, False),
        (1, 0, 0, False),
        (2, 1, 0, True),
        (3, 2, 1, False),
        (4, 3, 1, False),
        (5, 4, 1, True),
    ]


def test_due_intervals_and_checkpoints_keep_one_beat(tmp_path: Path) -> None:
    due: dict[str, list[int]] = {"3 steps": [], "1 epoch": [], "2 epochs": []}

    def each(run: Session) -> None:
        for interval, steps in due.items():
            if run.due(interval):
                steps.append(run.current_step)

    train(tmp_path, epochs=4, each=each, checkpoint_every="2 epochs", keep=9)
    assert due == {
        "3 steps": [2, 5, 8, 11, 14, 17],
        "1 epoch": [4, 9, 14, 19],
        "2 epochs": [9, 19],
    }
    names = CheckpointStore(RunPaths(tmp_path, "r1")).names()
    assert names == ["initial", "step-9", "step-19"]


def test_a_program_may_step_without_batches(tmp_path: Path) -> None:
    with start(tmp_path, checkpoint_every="2 steps", keep=9) as run:
        work = set_up(run)
        with pytest.raises(MidcourseError, match=r"step\(\) comes after begin\(\)"):
            run.step()
        assert run.begin() == 0
        for _ in range(5):
            work()
            run.step()
    assert statuses(tmp_path) == ["finished"]
    names = CheckpointStore(RunPaths(tmp_path, "r1")).names()
    assert names == ["initial", "step-1", "step-3", "step-4"]


@pytest.mark.parametrize("call", ["track", "live", "batches"])
def test_setting_up_comes_before_the_first_step(tmp_path: Path, call: str) -> None:
    late = {
        "track": lambda run: run.track(other=torch.nn.Linear(1, 1)),
        "live": lambda run: run.live("late", 1.0),
        "batches": lambda run: next(run.batches(torch.arange(4), batch_size=2)),
    }[call]
    with start(tmp_path) as run:
        set_up(run)
        run.begin()
        with pytest.raises(MidcourseError, match=rf"{call}\(\) comes before the first step"):
            late(run)


# -- logging ----------------------------------------------------------------------------------


def logged(home: Path) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for record in records(home):
        if isinstance(record, Metrics):
            found.setdefault(record.step, {}).update(record.values)
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, 0.25),
        (3, 3.0),
        (True, 1.0),
        (Fraction(1, 4), 0.25),
        (np.float64(0.25), 0.25),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7.0),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([7]), 7.0),
        (torch.tensor(0.25, dtype=torch.bfloat16, requires_grad=True), 0.25),
        (math.nan, "NaN"),
        (np.float64("nan"), "NaN"),
        (np.float32("inf"), "Infinity"),
        (torch.tensor(-math.inf), "-Infinity"),
    ],
    ids=repr,
)
def test_numbers_of_every_kind_are_logged(tmp_path: Path, value: Any, expected: Any) -> None:
    with start(tmp_path) as run:
        run.log(loss=value)
    assert logged(tmp_path) == {0: {"loss": expected}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5", "loss is a str; log numbers, tensors of one element, Images, Table"),
        (None, "loss is a NoneType; log numbers"),
        ([1.0], "loss is a list; log numbers"),
        (torch.ones(2), "loss is a Tensor; log numbers, tensors of one element"),
        (torch.tensor(1j), "loss is a Tensor; log numbers"),
        (1j, "loss is a complex; log numbers"),
        (np.ones(2), "loss is a ndarray; log numbers"),
    ],
)
def test_what_is_no_number_is_refused_by_name(tmp_path: Path, value: Any, message: str) -> None:
    with start(tmp_path) as run:
        with pytest.raises(TypeError, match=message):
            run.log({"loss": value})
        run.log({"loss": 1.0})
    assert logged(tmp_path) == {0: {"loss": 1.0}}


def test_a_tensor_is_logged_as_it_was(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        loss = torch.tensor(1.0)
        run.log({"train/loss": loss}, accuracy=0.5)
        loss.add_(1)
    assert logged(tmp_path) == {0: {"train/loss": 1.0, "accuracy": 0.5}}


def test_the_step_may_be_one_that_was_begun_and_no_other(tmp_path: Path) -> None:
    def each(run: Session) -> None:
        if run.current_step == 4:
            run.log({"late": 1.0}, step=0)
            for step in (5, -1):
                with pytest.raises(ValueError, match=f"step must be from 0 to 4, not {step}"):
                    run.log({"late": 1.0}, step=step)

    train(tmp_path, epochs=1, each=each)
    assert logged(tmp_path)[0]["late"] == 1.0
    assert max(logged(tmp_path)) == 4


def test_tables_and_pictures_are_logged(tmp_path: Path) -> None:
    picture = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    with start(tmp_path) as run:
        run.log(
            {
                "confusion": midcourse.ConfusionMatrix(labels=["a", "b"], counts=[[3, 1], [0, 4]]),
                "bars": midcourse.Bars(labels=["a"], values=[0.5]),
                "table": midcourse.Table(columns=["x"], rows=[[1], ["y"]]),
                "examples/worst": midcourse.Images([picture], ["a 3"]),
                "examples-worst": midcourse.Images([np.zeros((2, 3), np.uint8)]),
            }
        )
    found = {r.name: r.media for r in records(tmp_path) if isinstance(r, MediaLogged)}
    assert [media.kind for media in found.values()][:3] == ["confusion_matrix", "bars", "table"]
    worst, other = found["examples/worst"], found["examples-worst"]
    assert isinstance(worst, ImageFiles)
    assert isinstance(other, ImageFiles)
    assert worst.images[0].caption == "a 3"
    assert worst.images[0].path != other.images[0].path
    with Image.open(RunPaths(tmp_path, "r1").folder / worst.images[0].path) as image:
        assert np.array_equal(np.asarray(image), picture.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("pictures", "captions", "message"),
    [
        ([np.zeros((2, 2))], [], "a picture must be uint8, not float64"),
        ([np.zeros((2, 2, 4), np.uint8)], [], r"a picture must be \(H, W\)"),
        ([np.zeros(4, np.uint8)], [], r"a picture must be \(H, W\)"),
        ([np.zeros((2, 2), np.uint8)], ["a", "b"], "1 pictures have 2 captions"),
    ],
)
def test_what_is_no_picture_is_refused(
    tmp_path: Path, pictures: Any, captions: Any, message: str
) -> None:
    with start(tmp_path) as run, pytest.raises(ValueError, match=message):
        run.log(worst=midcourse.Images(pictures, captions))


def test_pictures_that_find_no_room_do_not_end_the_training(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        run.paths.media.write_text("in the way")
        run.log({"worst": midcourse.Images([np.zeros((2, 2), np.uint8)]), "loss": 1.0})
    [notice] = [record for record in records(tmp_path) if isinstance(record, Notice)]
    assert "the pictures worst of step 0 could not be written" in notice.message
    assert logged(tmp_path) == {0: {"loss": 1.0}}


def test_the_summary_is_in_the_last_word(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        run.summary(accuracy=np.float32(0.5), loss=torch.tensor(math.nan), classes=["a"], epochs=3)
        with pytest.raises(TypeError, match="bad is a object that is no plain JSON"):
            run.summary(bad=object())
    [last] = [record for record in records(tmp_path) if isinstance(record, StatusChanged)]
    assert last.summary == {"accuracy": 0.5, "loss": "nan", "classes": ["a"], "epochs": 3}


# -- live values of the program's own ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("mixup", 2.0), {"le": 1.0}, "mixup: must be a number at most 1, not 2.0"),
        (("mixup", math.nan), {}, "mixup: must be a finite number"),
        (("mixup", None), {}, "mixup: must be true or false, a number or a string, not a NoneType"),
        (("mix up", 1.0), {}, r"live\('mix up'\).name: must match"),
        (("mixup", 1.0), {"ge": math.nan}, r"live\('mixup'\).ge: must be a finite number"),
        (("mode", "fast"), {"choices": ["slow"]}, "mode: must be one of slow, not 'fast'"),
        (("optimizer.lr", 1.0), {}, "optimizer.lr: is declared twice"),
    ],
)
def test_a_live_value_that_makes_no_sense_is_refused(
    tmp_path: Path, arguments: Any, options: Any, message: str
) -> None:
    with start(tmp_path) as run:
        set_up(run)
        with pytest.raises(InvalidInput, match=message):
            run.live(*arguments, **options)


def test_a_live_value_changes_at_the_boundary_and_is_declared(tmp_path: Path) -> None:
    seen: list[float] = []

    def prepare(run: Session) -> None:
        value = run.live("mixup", 0.2, ge=0, le=1, unit="share")
        step = run.step
        run.step = lambda: (seen.append(value.value), step())[1]  # type: ignore[method-assign]

    train(
        tmp_path,
        prepare=prepare,
        epochs=1,
        commands={2: [command(1, "set", changes={"mixup": 1})]},
    )
    assert seen == [0.2, 0.2, 0.2, 1.0, 1.0]
    assert receipts(tmp_path)[1].before == {"mixup": 0.2}
    assert receipts(tmp_path)[1].after == {"mixup": 1.0}
    [started] = [record for record in records(tmp_path) if isinstance(record, Started)]
    [declared] = [row for row in started.parameters if row.name == "mixup"]
    assert (declared.type, declared.ge, declared.le, declared.unit) == ("number", 0.0, 1.0, "share")
    assert started.values["mixup"] == 0.2


# -- starting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "my experiment"}, "experiment: must match"),
        ({"run_id": "../r1"}, "id: must match"),
        ({"checkpoint_every": "often"}, 'checkpoint_every: must be an interval such as "100 st'),
        ({"checkpoint_every": 100}, 'checkpoint_every: must be an interval such as "100 steps"'),
        ({"keep": 0}, "keep: must be a whole number of at least 1, not 0"),
        ({"keep": "3"}, "keep: must be a whole number of at least 1, not '3'"),
        ({"best": ("loss", "low")}, 'best: must be a metric and "max" or "min"'),
        ({"best": "loss"}, "best: must be a metric and"),
        ({"seed": 1.5}, "seed: must be a whole number, not 1.5"),
        ({"seed": 2**64}, "seed: must fit into 64 bits"),
        ({"config": {"lr": math.nan}}, "config: must be plain JSON values"),
        ({"config": {"model": object()}}, "config: must be plain JSON values"),
        ({"config": {"mean": np.float32(1)}}, "config: must be plain JSON values"),
    ],
)
def test_starting_with_nonsense_names_every_fault(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        midcourse.start(**{"experiment": "tiny", "home": tmp_path} | options)
    assert list(tmp_path.iterdir()) == []


def test_two_faults_are_two_faults(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        midcourse.start("tiny", home=tmp_path, keep=0, checkpoint_every="0 steps")
    assert [fault.path for fault in caught.value.faults] == ["checkpoint_every", "keep"]


def test_a_run_goes_on_where_the_program_changes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def each(run: Session) -> None:
        os.chdir(tmp_path / "elsewhere")

    train(Path("runs-here"), epochs=1, each=each, checkpoint_every="2 steps")
    assert statuses(tmp_path / "runs-here") == ["finished"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_run_in_use_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch_module, "LOCK_SECONDS", 0.1)
    with start(tmp_path) as run:
        journal = run.paths.journal
        with pytest.raises(RunBusy, match="run r1 is being trained by another process"):
            start(tmp_path)
        assert not journal.exists()
        set_up(run)
        run.begin()
    assert statuses(tmp_path) == ["finished"]


def test_an_ended_run_stays_ended(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    before = RunPaths(tmp_path, "r1").run_log.read_bytes()
    with pytest.raises(RunEnded, match="run r1 is finished; fork it"):
        start(tmp_path)
    assert RunPaths(tmp_path, "r1").run_log.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "path"),
    [({"config": {"lr": 0.2}}, "config"), ({"seed": 1}, "seed"), ({"config": None}, "config")],
)
def test_going_on_with_other_settings_is_refused(
    tmp_path: Path, options: dict[str, Any], path: str
) -> None:
    _interrupted(tmp_path, config={"lr": 0.1, "shape": (1, 2)})
    with pytest.raises(InvalidInput, match=f"{path}: differs from what run r1 began with"):
        start(tmp_path, **{"config": {"lr": 0.1, "shape": [1, 2]}} | options)
    start(tmp_path, config={"lr": 0.1, "shape": [1, 2]}).__exit__(None, None, None)


def _interrupted(home: Path, **options: Any) -> None:
    def each(run: Session) -> None:
        if run.current_step == 3:
            raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError):
        train(home, each=each, **options)


# -- checkpoints ------------------------------------------------------------------------------


def test_a_resumed_run_is_at_its_place(tmp_path: Path) -> None:
    _interrupted(tmp_path, checkpoint_every="2 steps")
    assert statuses(tmp_path) == ["failed"]
    run = train(tmp_path, checkpoint_every="2 steps")
    assert run.last_step == 9
    assert statuses(tmp_path) == ["failed", "finished"]
    started = [record for record in records(tmp_path) if isinstance(record, Started)]
    assert [record.next_step for record in started] == [0, 2]


def test_the_best_is_kept_and_told(tmp_path: Path) -> None:
    scores = [0.1, 0.5, math.nan, 0.4, math.inf, 0.5, 0.2, 0.6, 0.1, 0.1]

    def each(run: Session) -> None:
        score = scores[run.current_step]
        run.log({"score": score, "broken": math.nan})

    train(tmp_path, each=each, best=("score", "max"), keep=1)
    written = [r.checkpoint for r in records(tmp_path) if isinstance(r, CheckpointWritten)]
    best = [record.name for record in written if record.best]
    assert best == ["step-0", "step-1", "step-7"]
    assert written[-2].metrics == {"score": 0.6}
    deleted = [record.name for record in records(tmp_path) if isinstance(record, CheckpointDeleted)]
    assert deleted == ["initial", "step-0", "step-1"]
    assert CheckpointStore(RunPaths(tmp_path, "r1")).names() == ["step-7", "step-9"]


def test_the_best_is_remembered_over_a_restart(tmp_path: Path) -> None:
    scores = [0.1, 0.9, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.1]

    def each(run: Session) -> None:
        run.log({"score": scores[run.current_step]})
        if run.current_step == 3 and len(statuses(tmp_path)) == 0:
            raise RuntimeError

    options: dict[str, Any] = {"best": ("score", "max"), "keep": 1, "checkpoint_every": "3 steps"}
    with pytest.raises(RuntimeError):
        train(tmp_path, each=each, **options)
    train(tmp_path, each=each, **options)
    assert CheckpointStore(RunPaths(tmp_path, "r1")).names() == ["step-1", "step-9"]


def test_a_state_that_cannot_be_kept_is_told_and_training_goes_on(tmp_path: Path) -> None:
    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {"hook": print}

        def load_state_dict(self, state: Any) -> None:
            raise AssertionError

    run = train(tmp_path, epochs=1, prepare=lambda run: run.track(odd=Odd()))
    assert run.last_step == 4
    failed = [record for record in records(tmp_path) if isinstance(record, CheckpointFailed)]
    assert {record.name for record in failed} == {"initial", "step-4"}
    assert "the state at objects/odd/hook holds a builtins.builtin" in failed[0].reason


def test_a_full_disk_ends_no_training(tmp_path: Path) -> None:
    """A checkpoint finds no room, and later ones do."""

    def each(run: Session) -> None:
        if run.current_step == 1:
            run.branch.writer.drain()
            run.paths.checkpoints.rename(run.paths.folder / "moved")
            run.paths.checkpoints.write_text("in the way")
        if run.current_step == 5:
            run.branch.writer.drain()
            run.paths.checkpoints.unlink()

    train(tmp_path, each=each, checkpoint_every="2 steps")
    failed = [record.name for record in records(tmp_path) if isinstance(record, CheckpointFailed)]
    assert failed == ["step-1", "step-3"]
    names = CheckpointStore(RunPaths(tmp_path, "r1")).names()
    assert names == ["step-5", "step-7", "step-9"]
    assert statuses(tmp_path) == ["finished"]


def test_sessions_leave_no_files_and_threads_behind(tmp_path: Path) -> None:
    train(tmp_path / "warm", epochs=1)
    before = _held()
    for number in range(3):
        train(tmp_path / str(number), epochs=1, checkpoint_every="1 steps")
        with pytest.raises(RunEnded):
            start(tmp_path / str(number))
    wait_for(_held, lambda held: held <= before)


def _held() -> Counter[str]:
    """The open files and the threads of this process; what only waits to be collected is none."""
    gc.collect()
    held = Counter(re.sub(r"\d+", "", thread.name) for thread in threading.enumerate())
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that listed the folder
            held[re.sub(r":\[\d+\]$", "", str(descriptor.readlink()))] += 1
    return held


# -- as a package -----------------------------------------------------------------------------


def test_the_program_in_the_docstring_runs_as_it_stands(tmp_path: Path) -> None:
    assert midcourse.__doc__ is not None
    [program] = re.findall(r"```python\n(.*?)```", midcourse.__doc__, re.DOTALL)
    root = Path(midcourse.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, env=environment, check=True
    )
    [folder] = (tmp_path / ".midcourse" / "runs").iterdir()
    assert statuses(tmp_path / ".midcourse", folder.name) == ["finished"]
    steps = [
        r.step for r in records(tmp_path / ".midcourse", folder.name) if isinstance(r, Metrics)
    ]
    assert steps == list(range(40))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'midcourse' has no attribute 'stop'"):
        _ = midcourse.stop
    assert all(hasattr(midcourse, name) for name in midcourse.__all__)


@pytest.mark.parametrize(("code", "status"), [(None, "finished"), (0, "finished"), (3, "failed")])
def test_a_program_may_leave_by_sys_exit(code: int | None, status: str, tmp_path: Path) -> None:
    def leave(run: Session) -> None:
        if run.current_step == 2:
            sys.exit(code)

    with pytest.raises(SystemExit):
        train(tmp_path, each=leave)
    assert statuses(tmp_path) == [status]


def test_the_state_at_the_end_is_the_same_however_often_checkpoints_were_taken(
    tmp_path: Path,
) -> None:
    hashes = set()
    for every in ("1 epoch", "3 steps", None):
        train(tmp_path / str(every), checkpoint_every=every)
        store = CheckpointStore(RunPaths(tmp_path / str(every), "r1"))
        hashes.add(store.manifest(store.names()[-1]).checkpoint.state_hash)
    assert len(hashes) == 1
