"""The real MNIST: a small CNN reaches 98% on the test pictures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from midcourse.contract.names import Metric
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Metrics, StatusChanged
from midcourse.runlog import RunLogReader

REPOSITORY = Path(__file__).parents[2]
HOME = Path(os.environ.get("MIDCOURSE_HOME") or REPOSITORY / ".midcourse")
EPOCHS = 2
"""Of the five that the configuration has, which reach 99%."""
RAW = HOME / "data" / "MNIST" / "raw"


@pytest.mark.mnist
@pytest.mark.timeout(1000)  # a minute on two idle cores, much longer on busy ones
@pytest.mark.acceptance
@pytest.mark.skipif(
    not (RAW / "train-images-idx3-ubyte").is_file(),
    reason=f"MNIST is not in {RAW}; `make mnist` fetches it",
)
def test_the_cnn_learns_mnist(tmp_path: Path) -> None:
    environment = os.environ | {
        "MIDCOURSE_HOME": str(tmp_path),
        "WANDB_MODE": "disabled",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads would starve each other on a busy machine
    }
    environment.pop("OMP_NUM_THREADS", None)
    (tmp_path / "data").symlink_to((HOME / "data").absolute())
    config = json.loads((REPOSITORY / "trainer/configs/mnist.json").read_text())
    config["train"]["epochs"] = EPOCHS
    (tmp_path / "params.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-m", "trainer", str(tmp_path / "params.json"), "--run-id", "mnist"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reader = RunLogReader(RunPaths(tmp_path, "mnist").run_log)
    accuracies, summary = [], None
    while records := reader.read():
        for record in records:
            if isinstance(record, Metrics) and Metric.TEST_ACCURACY in record.values:
                accuracies.append(record.values[Metric.TEST_ACCURACY])
            if isinstance(record, StatusChanged):
                summary = record.summary
    assert len(accuracies) == EPOCHS
    assert summary is not None
    assert summary["test_accuracy"] == accuracies[-1]
    assert accuracies[-1] >= 0.98
