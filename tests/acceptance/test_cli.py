"""The real `midcourse`, from any folder, with a real control API and a real trainer."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from midcourse.cli import main

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("midcourse")
pytestmark = pytest.mark.acceptance

CONFIG: dict[str, Any] = {
    "experiment": "digits",
    "data": {"name": "digits", "batch_size": 64},
    "model": {"name": "mlp", "dropout": 0.2},
    "train": {
        "epochs": 100_000,
        "eval_every": "20 epochs",
        "checkpoint_every": "200 steps",
        "device": "cpu",
    },
}


class Terminal:
    """A folder that is not the checkout, in which `midcourse` is typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".midcourse"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PORT": str(self.port),
            "MIDCOURSE_SLOTS": "cpu:1",
            "WANDB_MODE": "offline",
            "OMP_NUM_THREADS": "1",
        }
        for name in ("WANDB_API_KEY", "MIDCOURSE_HOME", "MIDCOURSE_API_URL", "MIDCOURSE_API_TOKEN"):
            self.environment.pop(name, None)
        self._server: subprocess.Popen[bytes] | None = None

    def serve(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "control_api"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )
        pause = threading.Event()
        while self.ask("whoami").returncode:
            assert self._server.poll() is None, "the control API ended"
            pause.wait(0.2)

    def process(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Type a command, as a process of its own."""
        return subprocess.run(
            [PROGRAM, *words],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def ask(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """The same in this process, which spares its loading."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.environment, **more}, clear=True),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def say(self, *words: str, code: int = 0) -> str:
        """Type a command that ends as expected; what it printed."""
        done = self.ask(*words)
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    def get(self, *words: str) -> Any:
        """Type a command with --json."""
        return json.loads(self.say(*words, "--json"))

    def close(self) -> None:
        if self._server is None:
            return
        try:
            for run in self.get("runs", "--all")["runs"]:
                if run["status"] in ("starting", "running", "paused", "queued", "suspended"):
                    self.ask("stop", run["id"], "--timeout", "30")
        finally:
            self._server.terminate()
            self._server.wait(30)
            for pid in self._trainers():
                os.kill(pid, signal.SIGKILL)

    def _trainers(self) -> Iterator[int]:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_text().split("\0")
                environment = (folder / "environ").read_text().split("\0")
            except OSError:
                continue
            if "trainer" in command and f"MIDCOURSE_HOME={self.home}" in environment:
                yield int(folder.name)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    made = Terminal(tmp_path_factory.mktemp("elsewhere"))
    try:
        made.serve()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def run(terminal: Terminal) -> str:
    """A run that trains, long enough for all that is done to it."""
    (terminal.folder / "params.json").write_text(json.dumps(CONFIG))
    submit = ("submit", "params.json", "--name", "first", "--tag", "baseline", "--wait")
    done = terminal.process(*submit, "--set", "optimizer.lr=0.02", "--timeout", "300", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["status"], made["config"]["optimizer"]) == ("running", {"lr": 0.02})
    return str(made["id"])


def test_a_run_is_steered_by_any_of_its_names(terminal: Terminal, run: str) -> None:
    changed = terminal.get("set", run[:5], "optimizer.lr=1e-3", "--reason", "noisy")
    assert (changed["state"], changed["reason"]) == ("applied", "noisy")
    assert changed["receipt"]["after"] == {"optimizer.lr": 0.001}
    scaled = terminal.get("set", "first", "optimizer.lr=0.5", "--mode", "scale", "--dry-run")
    assert (scaled["state"], scaled["receipt"]["after"]) == ("checked", {"optimizer.lr": 0.0005})
    assert "optimizer.lr  " in terminal.say("params", run)
    done = terminal.process("set", run, "optimizer.lr=fast", "model.dropuot=0.1")
    refused = done.stderr
    assert (done.returncode, done.stdout) == (1, "")
    assert 'must be a number above 0, not the string "fast"' in refused
    assert "Did you mean model.dropout" in refused
    assert len(refused.splitlines()) == 1


def test_pause_and_resume(terminal: Terminal, run: str) -> None:
    assert "applied" in terminal.say("pause", run)
    assert "paused already" in terminal.say("pause", run, code=1)
    late = terminal.get("pause", run, "--at-epoch", "90000")
    assert late["state"] in ("accepted", "delivered")
    stepped = terminal.get("resume", run, "--steps", "5")
    assert stepped["receipt"]["after"]["pause_after_step"] == stepped["receipt"]["step"] + 5
    assert terminal.get("withdraw", run, str(late["seq"]), "--timeout", "20")["state"] == "applied"
    terminal.ask("resume", run)
    assert run in terminal.say("runs", "--status", "running,paused", "--sort", "-step")
    assert terminal.say("runs", "--where", "step<0").splitlines()[1:] == []


def test_branches_are_drawn_and_compared(terminal: Terminal, run: str) -> None:
    terminal.say("checkpoint", run)
    child = terminal.get("fork", f"{run}@latest", "--set", "optimizer.lr=0.005", "--name", "slower")
    assert child["origin"]["changes"] == {"optimizer.lr": 0.005}
    assert child["id"] in terminal.say("queue"), "there is one slot, and it is taken"
    drawn = terminal.process("tree", child["id"]).stdout
    assert f"* {child['id']}" in drawn
    assert "optimizer.lr=0.005" in drawn
    assert drawn.startswith(run)
    unknown = terminal.say("fork", f"{run}@step-1", code=1)
    assert "has no checkpoint 'step-1'; it has:" in unknown
    found = terminal.get("diff", run, "slower")
    assert found["facts"]["name"] == ["first", "slower"]
    terminal.say("archive", child["id"])
    assert child["id"] not in terminal.say("runs")
    assert terminal.get("stop", child["id"], "--timeout", "60")["state"] in ("applied", "cancelled")


def test_what_happened_is_told(terminal: Terminal, run: str) -> None:
    for rate in ("0.003", "0.004"):
        terminal.say("set", run, f"optimizer.lr={rate}")
    terminal.say("checkpoint", run)
    terminal.say("note", run, "good so far")
    terminal.say("tag", run, "keep")
    shown = terminal.get("show", run)
    assert (shown["notes"], shown["tags"]) == ("good so far", ["baseline", "keep"])
    heard = [json.loads(line) for line in terminal.say("events", run, "--json").splitlines()]
    assert heard[0]["kind"] == "run.created"
    assert {"command", "checkpoint.written", "run.changed"} <= {event["kind"] for event in heard}
    assert [event["id"] for event in heard] == sorted({event["id"] for event in heard})
    terminal.say("journal", run, "-o", "journal.jsonl")
    lines = (terminal.folder / "journal.jsonl").read_text().splitlines()
    changed = [json.loads(line)["action"].get("changes") for line in lines]
    assert [each for each in changed if each][-2:] == [
        {"optimizer.lr": 0.003},
        {"optimizer.lr": 0.004},
    ]
    terminal.say("logs", run)
    assert "train/batch_loss" in terminal.say("watch", run, "--once")
    assert "metric,step,value" in terminal.say("metrics", run, "train/batch_loss", "--csv")
    assert "digits" in terminal.say("experiments")
    assert run in terminal.say("slots")
    assert "checkpoint" in terminal.say("audit", "--run", run)


def test_roles_and_exit_codes(terminal: Terminal, run: str) -> None:
    token = terminal.get("tokens", "make", "ada", "--role", "viewer", "--expires", "1d")["token"]
    url = f"http://127.0.0.1:{terminal.port}"
    viewer = {"MIDCOURSE_API_URL": url, "MIDCOURSE_API_TOKEN": token}
    assert terminal.ask("runs", **viewer).returncode == 0
    forbidden = terminal.process("pause", run, **viewer)
    assert forbidden.returncode == 4, forbidden.stderr
    terminal.say("tokens", "revoke", "ada")
    assert terminal.ask("runs", **viewer).returncode == 4
    away = terminal.ask("runs", MIDCOURSE_API_URL="http://127.0.0.1:9", MIDCOURSE_API_TOKEN="mc_x")
    assert away.returncode == 3
    assert terminal.get("show", run)["status"] == "running"
    assert terminal.get("bulk", "tag", "mine", "--experiment", "digits", "--yes")["results"]


def test_undo_and_suspend(terminal: Terminal, run: str) -> None:
    terminal.say("set", run, "model.dropout=0.5")
    undone = terminal.get("undo", run, "--timeout", "30")
    child = undone["receipt"]["after"]["run"]
    assert terminal.get("suspend", "first", "--timeout", "60")["state"] == "applied"
    assert terminal.get("show", child)["id"] == child, "the name has gone to the run that goes on"
    stopped = terminal.get("stop", child, "--timeout", "200")
    assert stopped["state"] == "applied"
    would = terminal.get("delete", run, "--dry-run")
    assert (would["dry_run"], child in would["children"]) == (True, True)
    terminal.say("delete", run, "--yes")
    assert "deleted" in terminal.say("tree", child)
