"""`python -m trainer` as a person or a launcher starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.media import Bars
from midcourse.contract.names import MediaName, Metric
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import (
    CheckpointWritten,
    LogRecord,
    MediaLogged,
    Metrics,
    Started,
    StatusChanged,
)
from midcourse.runlog import RunLogReader
from trainer.__main__ import main

REPOSITORY = Path(__file__).parents[2]


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the trainer to its end, with its home in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(REPOSITORY),
            "MIDCOURSE_HOME": str(folder / "home"),
            "WANDB_MODE": "disabled",
            "OMP_NUM_THREADS": "1",
        }
        | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def log_of(folder: Path, run: str) -> list[LogRecord]:
    reader = RunLogReader(RunPaths(folder / "home", run).run_log)
    records: list[LogRecord] = []
    while found := reader.read():
        records += found
    return records


def metrics_of(records: list[LogRecord]) -> dict[tuple[str, int], Any]:
    """The first value of each metric and step, as every reader of a run log takes it."""
    values: dict[tuple[str, int], Any] = {}
    for record in records:
        if isinstance(record, Metrics):
            for name, value in record.values.items():
                values.setdefault((name, record.step), value)
    return values


def last_checkpoint(records: list[LogRecord]) -> CheckpointRecord:
    return [r.checkpoint for r in records if isinstance(r, CheckpointWritten)][-1]


def test_the_default_training(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    done = start(tmp_path, "params.json", "--run-id", "r1")
    assert done.returncode == 0, done.stderr
    records = log_of(tmp_path, "r1")
    ended = [r for r in records if isinstance(r, StatusChanged)][-1]
    assert ended.status == "finished"
    assert ended.summary["test_accuracy"] >= 0.97  # type: ignore[operator]
    assert ended.summary["worst_class"] in set("0123456789")

    values = metrics_of(records)
    assert max(step for _, step in values) == 275
    assert {step for name, step in values if name == Metric.TRAIN_BATCH_LOSS} == set(range(276))
    evaluations = set(range(22, 276, 23))
    for name in (
        Metric.TRAIN_LOSS,
        Metric.TRAIN_ACCURACY,
        Metric.TEST_LOSS,
        Metric.TEST_ACCURACY,
        Metric.TEST_PRECISION,
        Metric.TEST_RECALL,
        Metric.TEST_F1,
        Metric.TEST_AUROC,
    ):
        assert {step for found, step in values if found == name} == evaluations, name
    for name in ("gradients/0.weight", "weights/0.weight", "updates/0.weight"):
        assert {step for known, step in values if known == name} == {49, 99, 149, 199, 249}
    assert values[Metric.LEARNING_RATE, 0] == 0.05

    media = [r for r in records if isinstance(r, MediaLogged)]
    steps = {name: {r.step for r in media if r.name == name} for name in {r.name for r in media}}
    assert steps.pop(MediaName.LABEL_HISTOGRAM) == {0}
    assert steps == dict.fromkeys(
        (
            MediaName.CONFUSION_MATRIX,
            MediaName.PER_CLASS_ACCURACY,
            MediaName.PER_CLASS_TABLE,
            MediaName.MISCLASSIFIED,
            MediaName.LOWEST_LOSS,
        ),
        evaluations,
    )
    histogram = next(r.media for r in media if r.name == MediaName.LABEL_HISTOGRAM)
    assert isinstance(histogram, Bars)
    assert sum(histogram.values) == 1438

    (begun,) = [r for r in records if isinstance(r, Started)]
    assert begun.total_steps == 276
    assert set(begun.values) >= {
        "optimizer.lr",
        "optimizer.momentum",
        "optimizer.weight_decay",
        "model.dropout",
        "loss.label_smoothing",
        "train.epochs",
    }


OWN = '''
"""A user's module: an augmentation that has the process interrupted, once."""

import os
import signal

from trainer.tasks import AUGMENTATIONS


@AUGMENTATIONS.register("interrupted_at")
def interrupted_at(call: int):
    calls = iter(range(1_000_000))

    def apply(images):
        if next(calls) == call and os.environ.get("INTERRUPT"):
            os.kill(os.getpid(), signal.SIGTERM)
        return images

    return apply
'''


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "params.yaml").write_text(
        """
        data: {name: fake, batch_size: 32, augmentation: {shift: 1, interrupted_at: 37}}
        optimizer: {name: adam, lr: 2e-3}
        scheduler: {name: one_cycle_lr, max_lr: 0.01}
        train: {epochs: 4, eval_every: 30 steps, checkpoint_every: 25 steps, grad_clip: 0.5}
        """
    )
    own = ("params.yaml", "--import", "own", "--run-id")
    whole = start(tmp_path, *own, "whole")
    assert whole.returncode == 0, whole.stderr
    interrupted = start(tmp_path, *own, "parts", INTERRUPT="yes")
    assert interrupted.returncode == 143, interrupted.stderr
    resumed = start(tmp_path, *own, "parts")
    assert resumed.returncode == 0, resumed.stderr

    expected, found = log_of(tmp_path, "whole"), log_of(tmp_path, "parts")
    begins = [r.next_step for r in found if isinstance(r, Started)]
    assert begins == [0, 38]
    assert metrics_of(found) == metrics_of(expected)
    assert (Metric.TRAIN_LOSS, 59) in metrics_of(found)
    assert (Metric.TEST_LOSS, 63) in metrics_of(found), "the last step is always evaluated"
    assert last_checkpoint(found).state_hash == last_checkpoint(expected).state_hash
    histograms = [
        r for r in found if isinstance(r, MediaLogged) and r.name == MediaName.LABEL_HISTOGRAM
    ]
    assert len(histograms) == 1


@pytest.fixture
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDCOURSE_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("_home")
def test_a_bad_configuration_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "params.json"
    params.write_text('{"train": {"epochs": 0}, "optimizer": {"name": "sdg"}}')
    assert main([str(params)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train.epochs: must be at least 1, not 0"
    assert lines[1].startswith("optimizer.name: no optimizer is named 'sdg'. Did you mean sgd?")
    assert len(lines) == 2
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("_home")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which configuration?"),
        (["none.json"], "none.json cannot be read: No such file or directory"),
        (["none.json", "--import", "no_such_module"], "--import: there is no module"),
        (["params.json", "--run-id", "Not An Id"], "id: must match"),
    ],
)
def test_a_bad_command_line_is_answered_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "params.json").write_text("{}")
    try:
        code: Any = main(arguments)
    except SystemExit as exit_:  # argparse's way
        code = exit_.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_what_is_registered_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "  digits " in listed
    assert "[lr, momentum, dampening, weight_decay" in listed
    assert main(["--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["seed"]["default"] == 0


@pytest.mark.usefixtures("_home")
@pytest.mark.parametrize(
    "sections",
    [
        {"optimizer": {"lr": 1e30}},
        {"model": {"name": "shufflenet_v2_x0_5"}, "data": {"batch_size": 15}},
        {"scheduler": {"name": "reduce_lr_on_plateau", "patience": 0}, "train": {"epochs": 3}},
        {"scheduler": {"name": "cyclic_lr", "base_lr": 0.01, "max_lr": 0.1}},
        {"loss": {"name": "mse"}, "train": {"precision": "bf16", "checkpoint_every": None}},
        {"optimizer": {"name": "rprop"}, "model": {"name": "mlp", "depth": 1, "dropout": 0.0}},
    ],
)
def test_other_trainings_run_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, dict[str, Any]]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    fake = {"name": "fake", "train_size": 46, "test_size": 20, "image_size": 8, "batch_size": 16}
    raw = sections | {
        "data": fake | sections.get("data", {}),
        "train": {"epochs": 1, "device": "cpu"} | sections.get("train", {}),
    }
    (tmp_path / "params.json").write_text(json.dumps(raw))
    assert main(["params.json", "--run-id", "r1"]) == 0
    ended = [r for r in log_of(tmp_path, "r1") if isinstance(r, StatusChanged)][-1]
    assert ended.status == "finished"
    assert (ended.summary["test_loss"] == "nan") == ("lr" in sections.get("optimizer", {}))
