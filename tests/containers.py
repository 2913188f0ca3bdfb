"""Containers of the image under test, as a person would start and steer them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from docker_engine import IMAGE, ROOT, Engine
from served import free_port

T = TypeVar("T")
PATIENCE = 120.0
"""Seconds that anything may take on a busy machine."""


def wait_for(look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Wait until there is something to be seen."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)
    return found


class Api:
    """A control API, wherever it serves; requests go out by curl."""

    @property
    def url(self) -> str:
        """Where it is reached."""
        raise NotImplementedError

    def token(self) -> str:
        """The admin's."""
        raise NotImplementedError

    def wait_until_it_answers(self) -> None:
        """As a person would try."""

        def answers() -> bool:
            asked = ["curl", "-sf", "--max-time", "5", f"{self.url}/healthz"]
            return subprocess.run(asked, capture_output=True, check=False).returncode == 0

        wait_for(answers, "the control API serves")

    def curl(self, method: str, path: str, body: Any = None, *more: str) -> Any:
        """A request below `/api/v1`, and the JSON of its answer."""
        head = [
            "-H",
            f"Authorization: Bearer {self.token()}",
            "-H",
            "Content-Type: application/json",
        ]
        data = [] if body is None else ["-d", json.dumps(body)]
        url = f"{self.url}/api/v1{path}"
        command = ["curl", "-sS", "--max-time", "60", "-X", method, *head, *data, *more, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def train(self, config: dict[str, Any]) -> dict[str, Any]:
        """Train to the end; the run, as the API shows it."""
        run = self.curl("POST", "/runs", {"config": config})["id"]
        return self.wait_for_status(run, "finished", "failed")

    def training(self) -> dict[str, Any]:
        """What `up` trains, once it is submitted."""
        return wait_for(self.runs, "there is a run")[0]

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the newest first."""
        found: list[dict[str, Any]] = self.curl("GET", "/runs?sort=-created_at")["runs"]
        return found

    def wait_for_step(self, run: str, step: int) -> None:
        """Wait until a run has come so far."""
        wait_for(lambda: (self.curl("GET", f"/runs/{run}")["step"] or 0) >= step, f"step {step}")

    def wait_for_status(self, run: str, *wanted: str) -> dict[str, Any]:
        """Wait until a run has one of these statuses."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.curl("GET", f"/runs/{run}")
            assert found["status"] != "failed" or "failed" in wanted, found["error"]
            return found if found["status"] in wanted else None

        return wait_for(look, f"run {run} is {' or '.join(wanted)}")

    def last_hash(self, run: str) -> str:
        """The state hash of a run's last checkpoint."""
        found = self.curl("GET", f"/runs/{run}/checkpoints")["checkpoints"]
        last = max(found, key=lambda each: each["step"])
        return str(last["state_hash"])


@dataclass
class Served(Api):
    """A container that serves the control API."""

    engine: Engine
    name: str
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> "Served":
        """`docker run`, with a port that the engine chooses."""
        variables = [f"--env={name}={value}" for name, value in self.environment.items()]
        port = "--publish=127.0.0.1::8080"
        self.engine.run(
            *("run", "--detach", "--name", self.name, port, *variables, *self.options),
            *(IMAGE, *self.command),
        )
        return self

    def start_again(self) -> None:
        """`docker start`, and wait until it answers."""
        self.engine.run("start", self.name)
        self.wait_until_it_answers()

    @property
    def url(self) -> str:
        """Where it is reached from outside; another one after each start."""
        return f"http://{self.engine.run('port', self.name, '8080')}"

    @property
    def log(self) -> str:
        """What it has printed, standard error too."""
        done = self.engine.try_("logs", self.name)
        return done.stdout + done.stderr

    def token(self) -> str:
        """The admin's."""
        look = ("exec", self.name, "cat", "/data/token")
        return wait_for(lambda: self.engine.try_(*look).stdout.strip(), "there is a token")


@dataclass
class OnThisMachine(Api):
    """A control API that is a process of this machine, and has its trainers in containers."""

    engine: Engine
    home: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.host = self.engine.bridge()

    def start(self) -> "OnThisMachine":
        """Serve, as `docker/README.md` says it."""
        self.home.mkdir(exist_ok=True)
        environment = {
            "MIDCOURSE_HOME": str(self.home),
            "MIDCOURSE_LAUNCHER": "docker",
            "MIDCOURSE_HOST": self.host,
            "MIDCOURSE_TRAINER_IMAGE": IMAGE,
            "MIDCOURSE_SLOTS": "cpu:2",
            "DOCKER_HOST": self.engine.host,
            "WANDB_MODE": "offline",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control_api", f"--port={self.port}"],
                cwd=ROOT,
                env={**os.environ, **environment, **self.environment},
                stdout=subprocess.DEVNULL,  # it greets with the admin's token
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_it_answers()
        return self

    @property
    def url(self) -> str:
        """By the address that trainers use, too."""
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.home.parent / "api.log"

    def token(self) -> str:
        """The admin's."""
        return (self.home / "token").read_text().strip()

    def die(self) -> None:
        """All its processes at once, with no time for a word."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def container(self, run: str, attempt: int = 1) -> str | None:
        """The id of a trainer's container, running or not."""
        name = f"name=^midcourse-{run}-{attempt}$"
        return self.engine.run("ps", "--all", "--quiet", "--no-trunc", f"--filter={name}") or None
