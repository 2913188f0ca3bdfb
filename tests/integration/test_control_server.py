"""The real server as a process: start, refusal to start, stop, and what survives it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from served import CHECKOUT, free_port
from sqlalchemy import select

from control_api.columns import Base
from control_api.tables import AttemptRow


def everything_in(database):
    """Each row of each table, as text."""
    with database.reading() as session:
        tables = reversed(Base.metadata.sorted_tables)
        return "\n".join(str(row) for table in tables for row in session.execute(select(table)))


def trainer_of(database, run):
    """The id of the process that trains a run, once it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with database.reading() as session:
            attempt = session.get(AttemptRow, (run, 1))
        if attempt is not None and attempt.handle is not None:
            return attempt.handle["pid"]
        time.sleep(0.05)
    raise AssertionError("no trainer was started")


def run_to_its_end(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "control_api", *arguments],
        cwd=CHECKOUT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon_though_somebody_waits(serve, signal_number):
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


def test_trainers_outlive_the_api_and_are_adopted(serve):
    served = serve()
    run = served.ask("POST", "/runs", json={"config": {}, "experiment": "e"}).json()["id"]
    log = served.home / "runs" / run / "runlog.jsonl"
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
    (served.home / "runs" / run / "finish").touch()
    seen = again.until(f"/runs/{run}", lambda seen: seen["status"] == "finished")
    assert (seen["attempt"], seen["error"]) == (1, None)
    points = again.ask("GET", f"/runs/{run}/metrics").json()["metrics"]["loss"]["steps"]
    assert points == list(range(seen["step"] + 1))


def test_no_secret_is_written_anywhere(serve, database):
    served = serve()
    run = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    token = (served.home / "token").read_text().strip()
    pid = trainer_of(database, run)
    dump = everything_in(database)
    assert run in dump
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    (trainers,) = [line.partition("=")[2] for line in environ if "RUN_TOKEN" in line]
    (served.home / "runs" / run / "finish").touch()
    served.until(f"/runs/{run}", lambda seen: seen["status"] == "finished")
    served.end()
    printed = (served.home.parent / "api.log").read_text()
    assert printed.count(token) == 1  # the greeting of the first start
    files = [path for path in (served.home / "runs").rglob("*") if path.is_file()]
    for secret in (token, trainers):
        assert secret not in dump
        assert all(secret.encode() not in path.read_bytes() for path in files)
    assert trainers not in printed


@pytest.mark.only_on("sqlite")
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
        (
            {"MIDCOURSE_DATABASE_URL": "postgres://me:planted@/midcourse?host=/proc/nowhere"},
            [],
            1,
            "The database cannot be used: connection",
        ),
    ],
)
def test_what_keeps_it_from_starting_is_one_sentence(tmp_path, environ, arguments, code, message):
    environ = {"MIDCOURSE_HOME": str(tmp_path), "PORT": str(free_port())} | environ
    done = run_to_its_end(*arguments, **environ)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "planted" not in done.stderr
    assert code == 2 or len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_to_its_end("--port", str(port), MIDCOURSE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {port} is in use; ")
    assert done.stderr.count("\n") == 1
