"""Containers of the image under test, as a person would start and steer them."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from docker_engine import IMAGE, Engine

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


@dataclass
class Served:
    """A container that serves the control API; its requests go out by curl."""

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
        ask = ["curl", "-sf", "--max-time", "5"]

        def answers() -> bool:
            asked = [*ask, f"{self.url}/healthz"]
            return subprocess.run(asked, capture_output=True, check=False).returncode == 0

        wait_for(answers, f"{self.name} serves again")

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
        return wait_for(self.runs, f"{self.name} has a run")[0]

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
