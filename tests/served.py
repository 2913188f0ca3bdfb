"""Real servers, as processes over a home, with a trainer that only says what a trainer says."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests
from databases import database_url as url_of_database

CHECKOUT = Path(__file__).resolve().parents[1]

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
    made, changes = read(cls, *args, **kwargs), CHANGES
    of_wandb = {name: changes.pop(name) for name in [*changes] if hasattr(made.wandb, name)}
    wandb = dataclasses.replace(made.wandb, **of_wandb)
    return dataclasses.replace(made, wandb=wandb, **changes)
Settings.read = classmethod(read_with_bench_trainer)
sys.exit(program.main())
"""


class Served:
    """A server process over a home."""

    def __init__(
        self, home, port, *arguments, answers=True, trainer=TRAINER, changes=None, **environ
    ):
        self.home, self.port = home, port
        script = home.parent / "trainer.py"
        script.write_text(trainer)
        changes = {"trainer_command": (sys.executable, str(script))} | (changes or {})
        program = [sys.executable, "-c", SERVE.replace("CHANGES", repr(changes))]
        with (home.parent / "api.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*program, *arguments, "--port", str(port)],
                cwd=CHECKOUT,
                env=os.environ
                | {"MIDCOURSE_HOME": str(home), "MIDCOURSE_DATABASE_URL": url_of_database(home)}
                | environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{port}"
        if answers:
            try:
                self.until_it_answers()
            except BaseException:  # nobody else could: who asked for it has no hold of it yet
                self.die()
                raise

    def until_it_answers(self):
        deadline = time.monotonic() + 60
        while not self._answers():
            log = self.home.parent / "api.log"
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        self.headers = {"Authorization": f"Bearer {(self.home / 'token').read_text().strip()}"}

    def _answers(self):
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def ask(self, method, path, **options):
        headers = self.headers | options.pop("headers", {})
        url = f"{self.url}/api/v1{path}"
        return requests.request(method, url, headers=headers, timeout=60, **options)

    def until(self, path, holds):
        return wait_for(lambda: self.ask("GET", path).json(), holds)

    def child(self, name):
        """The process id of the supervisor's child of this name, once it is there."""
        return wait_for(lambda: named(self.process.pid, name), bool)[0]

    def workers(self):
        """The process ids of gunicorn's workers, once they are there."""
        return wait_for(lambda: children(self.child("midcourse-web")), bool)

    def end(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        self.process.wait(30)
        return self.process.returncode

    def die(self):
        """As by a power cut: all its processes at once, with no time for a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


def wait_for(look, holds, seconds=30.0):
    """What is seen once it is as wanted."""
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


def _stat(pid):
    """Name, state, parent and start of a process; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    before, _, after = text.rpartition(")")
    fields = after.split()
    return before.partition("(")[2], fields[0], int(fields[1]), int(fields[19])


def alive(pid, began=None):
    """Whether the process is there, and no zombie; `began` tells it from one of the same id."""
    found = _stat(pid)
    return found is not None and found[1] not in "ZX" and began in (None, found[3])


def start_of(pid):
    """When the process began, in ticks since the boot."""
    return _stat(pid)[3]


def parent(pid):
    found = _stat(pid)
    return found[2] if found else None


def children(pid):
    """The living children of a process."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [each for each in pids if _is_child(each, pid)]


def _is_child(each, pid):
    found = _stat(each)
    return found is not None and found[2] == pid and found[1] not in "ZX"


def zombies(pid):
    """The dead children that a process has not buried."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [each for each in pids if (found := _stat(each)) and found[2] == pid and found[1] == "Z"]


def named(pid, name):
    """The living children of a process that go by this name."""
    return [each for each in children(pid) if (_stat(each) or [""])[0] == name[:15]]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
