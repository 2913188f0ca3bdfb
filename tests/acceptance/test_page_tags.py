"""Somebody tags a run on its page in W&B: the real trainer, tracker, SDK and control API."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import CHECKOUT, Served, free_port, wait_for
from wandb_server.server import WandbServer

pytestmark = pytest.mark.acceptance

KEY = "key0123456789" * 5

CONFIG = {
    "experiment": "digits",
    "data": {"name": "digits", "batch_size": 64},
    "model": {"name": "mlp"},
    "train": {"epochs": 100_000, "eval_every": "20 epochs", "device": "cpu"},
}

# What a person does on the page, by the SDK's public API.
PERSON = """
import os, sys, wandb
run = wandb.Api(api_key=os.environ["WANDB_API_KEY"]).run(sys.argv[1])
run.tags = [*run.tags, *sys.argv[2:]]
run.update()
"""


@pytest.fixture
def api(tmp_path: Path, server: WandbServer) -> Iterator[Served]:
    home = tmp_path / "home"
    home.mkdir()
    made = Served(
        home,
        free_port(),
        changes={"trainer_command": (sys.executable, "-m", "trainer")},
        WANDB_MODE="online",
        WANDB_API_KEY=KEY,
        WANDB_BASE_URL=server.url,
        WANDB_PROJECT="digits",
        OMP_NUM_THREADS="1",
        MIDCOURSE_SLOTS="cpu:4",
        MIDCOURSE_TAG_VERBS="pause,resume,set,fork,undo",
        MIDCOURSE_TAG_SECONDS="1",
    )
    try:
        yield made
    finally:
        made.die()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"MIDCOURSE_HOME={home}" in (folder / "environ").read_text().split("\0"):
                    os.kill(int(folder.name), signal.SIGKILL)


@pytest.fixture
def add(tmp_path: Path, server: WandbServer) -> Callable[..., None]:
    """A person adds tags to a run."""

    def add(run_id: str, *tags: str) -> None:
        environ = {name: said for name, said in os.environ.items() if "WANDB" not in name}
        environ |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_SILENT": "true"}
        environ |= {"WANDB_DIR": str(tmp_path), "WANDB_ERROR_REPORTING": "false"}
        place = server.run(run_id).path.replace("/runs/", "/").strip("/")
        done = subprocess.run(
            [sys.executable, "-c", PERSON, place, *tags],
            cwd=CHECKOUT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return add


def test_tags_steer_a_live_run(api: Served, server: WandbServer, add: Callable[..., None]) -> None:
    answer = api.ask("POST", "/runs", json={"config": CONFIG})
    assert answer.status_code == 201, answer.text
    run_id = answer.json()["id"]
    run = f"/runs/{run_id}"
    api.until(run, lambda seen: seen["step"] and (seen["tracking"] or {}).get("url"))

    def until(*tags: str) -> None:
        wait_for(lambda: list(server.run(run_id).tags), lambda seen: {*tags} <= {*seen})

    def commands() -> list[Any]:
        return list(api.ask("GET", f"{run}/commands").json()["commands"])

    add(run_id, "baseline", "mc:lr=1e-4")
    until("mc:done:lr=1e-4#1")
    [command] = commands()
    assert command["actor"] == "W&B page"
    assert command["receipt"]["after"]["optimizer.lr"] == 1e-4
    assert api.ask("GET", run).json()["values"]["optimizer.lr"] == 1e-4

    add(run_id, "mc:pause")
    until("mc:done:pause#2")
    assert api.ask("GET", run).json()["status"] == "paused"
    add(run_id, "mc:resume", "mc:lr=banana", "mc:stop")
    until("mc:done:resume#3", "mc:refused:lr=banana#4", "mc:refused:stop#5")
    notes = str(server.run(run_id).notes).splitlines()
    assert notes == [
        "mc:lr=banana refused (#4): optimizer.lr: must be a number above 0, "
        'not the string "banana"',
        "mc:stop refused (#5): stop is not among what may be asked from here: "
        "pause, resume, set, fork, undo",
    ]

    add(run_id, "mc:fork")
    until("mc:done:fork#6")
    [child] = api.ask("GET", f"/runs?parent={run_id}").json()["runs"]
    assert child["created_by"] == "W&B page"
    assert f"mc:fork done (#6): run {child['id']}" in str(server.run(run_id).notes)
    api.until(f"/runs/{child['id']}", lambda seen: seen["step"])

    add(run_id, "mc:undo")
    until("mc:done:undo#7")
    api.until(run, lambda seen: seen["status"] == "superseded")
    assert [each["action"]["kind"] for each in commands()] == [
        "set",
        "pause",
        "resume",
        "checkpoint",
        "undo",
    ]
    assert [tag for tag in server.run(run_id).tags if not tag.startswith("mc:")] == ["baseline"]
    assert server.run(run_id).config["optimizer"], "what the tracker sent is there as it was"
    assert api.end() == 0
