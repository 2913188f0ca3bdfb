"""`make up WANDB=stand-in`: a training is seen online, with no account and no network."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
SECONDS = 180.0
pytestmark = pytest.mark.acceptance

CONFIG = {
    "experiment": "shown",
    "data": {"name": "digits", "batch_size": 256},
    "model": {"name": "mlp"},
    "train": {"epochs": 2, "device": "cpu"},
}


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(SECONDS / 0.1)):
        if condition():
            return
        pause.wait(0.1)
    raise AssertionError(f"waited in vain for {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_training_is_shown_by_the_stand_in_and_both_end_together(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    own = {
        "WANDB": "stand-in",
        "CONFIG": str(config),
        "PORT": str(free_port()),
        "MIDCOURSE_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    said = tmp_path / "said"
    with (
        said.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "control_api.up"], cwd=ROOT, env={**kept, **own}, stdout=output
        ) as up,
    ):
        try:
            wait_for("the end of the run", lambda: "goes on serving" in said.read_text())
            found = re.search(r"A stand-in for W&B is at (\S+) until", said.read_text())
            assert found is not None
            url = found[1]
            page = re.search(rf"W&B +({re.escape(url)}/\S+)", said.read_text())
            assert page is not None, "the summary leads to the run's page"
            shown = requests.get(page[1])
            assert "<strong>finished</strong>" in shown.text
            assert "polyline" in shown.text
        finally:
            up.send_signal(signal.SIGINT)
    assert up.returncode in (0, 1)
    with pytest.raises(requests.ConnectionError):
        requests.get(url)
