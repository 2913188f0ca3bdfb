"""The real server as a process: start, refusal to start, stop, and what survives it."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

CHECKOUT = Path(__file__).resolve().parents[2]

# Says it started, then writes a metric every 50 ms until the file `finish` lies beside its log.
TRAINER = """
import json, os, pathlib, sys, time
run, home = os.environ["MIDCOURSE_RUN_ID"], pathlib.Path(os.environ["MIDCOURSE_HOME"])
folder = home / "runs" / run
at = "2026-01-01T00:00:00Z"
config = {"id": run, "experiment": "e", "seed": 0}
with (folder / "runlog.jsonl").open("a") as log:
    def say(**record):
        print(json.dumps(record), file=log, flush=True)
    say(type="started", at=at, attempt=1, run=config, next_step=0, parameters=[], values={})
    step = 0
    say(type="metrics", time=0.0, step=step, values={"loss": 1.0})
    while not (folder / "finish").exists():
        time.sleep(0.05)
        step += 1
        say(type="metrics", time=0.0, step=step, values={"loss": 1.0})
    say(type="status", at=at, status="finished", step=step)
"""

SERVE = """
import sys, dataclasses
import control_api.settings, control_api.__main__ as program
Settings = control_api.settings.Settings
read = Settings.read.__func__
def read_with_bench_trainer(cls, *args, **kwargs):
    return dataclasses.replace(read(cls, *args, **kwargs), trainer_command=TRAINER)
Settings.read = classmethod(read_with_bench_trainer)
sys.exit(program.main())
"""


class Served:
    """A server process over a home."""

    def __init__(self, home, port):
        self.home, self.port = home, port
        trainer = home.parent / "trainer.py"
        trainer.write_text(TRAINER)
        command = (sys.executable, str(trainer))
        self.log = (home.parent / "api.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE.replace("TRAINER", repr(command)), "--port", str(port)],
            cwd=CHECKOUT,
            env=os.environ | {"MIDCOURSE_HOME": str(home)},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (home.parent / "api.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}

    def _answers(self):
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def ask(self, method, path, **options):
        headers = self.headers | options.pop("headers", {})
        url = f"{self.url}/api/v1{path}"
        return requests.request(method, url, headers=headers, timeout=60, **options)

    def until(self, path, holds):
        deadline = time.monotonic() + 30
        while not holds(seen := self.ask("GET", path).json()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
        return seen

    def end(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        self.process.wait(30)
        return self.process.returncode

    def die(self):
        """As by a power cut: all its processes at once, with no time for a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.log.close()


def database_of(home):
    """A copy in memory."""
    copy = sqlite3.connect(":memory:")
    with contextlib.closing(sqlite3.connect(home / "control.db")) as database:
        database.backup(copy)
    return copy


def trainer_of(home, run):
    """The id of the process that trains a run, once it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.closing(database_of(home)) as database:
            query = "SELECT handle FROM attempts WHERE run_id = ? AND handle IS NOT NULL"
            if row := database.execute(query, (run,)).fetchone():
                return json.loads(row[0])["pid"]
        time.sleep(0.05)
    raise AssertionError("no trainer was started")


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def serve(home, port):
    servers = []

    def start():
        servers.append(Served(home, port))
        return servers[-1]

    yield start
    for server in servers:
        server.die()
    for run in (home / "runs").glob("*"):
        (run / "finish").touch()


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon_though_somebody_waits(home, serve, signal_number):
    served = serve()
    run = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    headers = {"Prefer": "wait=60"}
    waiting = threading.Thread(
        target=served.ask, args=("POST", f"/runs/{run}/pause"), kwargs={"headers": headers}
    )
    waiting.start()
    served.until(f"/runs/{run}/commands", lambda seen: seen["commands"])
    began = time.monotonic()
    served.end(signal_number)
    assert time.monotonic() - began < 8
    waiting.join()


def test_trainers_outlive_the_api_and_are_adopted(home, serve):
    served = serve()
    run = served.ask("POST", "/runs", json={"config": {}, "experiment": "e"}).json()["id"]
    log = home / "runs" / run / "runlog.jsonl"
    deadline = time.monotonic() + 30
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    served.die()
    size = log.stat().st_size
    while log.stat().st_size <= size:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = serve()
    (home / "runs" / run / "finish").touch()
    seen = again.until(f"/runs/{run}", lambda seen: seen["status"] == "finished")
    assert (seen["attempt"], seen["error"]) == (1, None)
    points = again.ask("GET", f"/runs/{run}/metrics").json()["metrics"]["loss"]["steps"]
    assert points == list(range(seen["step"] + 1))


def test_no_secret_is_written_anywhere(home, serve):
    served = serve()
    run = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    token = (home / "token").read_text().strip()
    pid = trainer_of(home, run)
    with contextlib.closing(database_of(home)) as database:
        dump = "\n".join(database.iterdump())
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    (trainers,) = [line.partition("=")[2] for line in environ if "RUN_TOKEN" in line]
    (home / "runs" / run / "finish").touch()
    served.until(f"/runs/{run}", lambda seen: seen["status"] == "finished")
    served.end()
    printed = (home.parent / "api.log").read_text()
    assert printed.count(token) == 1  # the greeting of the first start
    files = [path for path in (home / "runs").rglob("*") if path.is_file()]
    for secret in (token, trainers):
        assert secret not in dump
        assert all(secret.encode() not in path.read_bytes() for path in files)
    assert trainers not in printed


@pytest.mark.parametrize(
    ("environ", "arguments", "code", "message"),
    [
        ({"MIDCOURSE_HOME": "/proc/nowhere"}, [], 1, "The folder /proc/nowhere cannot be written"),
        ({"PORT": "http"}, [], 2, "PORT: must be a number from 1 to 65535, not 'http'"),
        ({}, ["--port", "0"], 2, "must be a number from 1 to 65535"),
        (
            {"MIDCOURSE_DATABASE_URL": "sqlite:////proc/nowhere/x.db"},
            [],
            1,
            "The database cannot be used: unable to open database file",
        ),
        ({"MIDCOURSE_DATABASE_URL": "nonsense"}, [], 1, "The database cannot be used: "),
    ],
)
def test_what_keeps_it_from_starting_is_one_sentence(home, port, environ, arguments, code, message):
    done = subprocess.run(
        [sys.executable, "-m", "control_api", *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"MIDCOURSE_HOME": str(home), "PORT": str(port)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_sentence(home, port):
    with socket.create_server(("127.0.0.1", port)):
        done = subprocess.run(
            [sys.executable, "-m", "control_api", "--port", str(port)],
            cwd=CHECKOUT,
            env=os.environ | {"MIDCOURSE_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {port} is in use; ")
    assert done.stderr.count("\n") == 1
