"""`compose.yaml` in a real engine: the control API, PostgreSQL, and trainers beside them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Api, wait_for
from docker_engine import IMAGE, REQUIRE, ROOT, Engine
from served import free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.timeout(1100)]

CONFIG = {
    "experiment": "composed",
    "seed": 5,
    "data": {"name": "digits", "batch_size": 128},
    "model": {"name": "mlp", "width": 32},
    "train": {"epochs": 30, "eval_every": "10 epochs", "device": "cpu"},
}
REACH = (
    "import socket\ntry:\n socket.create_connection(('db', 5432), 5)\nexcept OSError as error:\n"
    " print('not reached:', error)\nsocket.create_connection(('api', 8080), 5)"
)


class Composed(Api):
    """What `docker compose up` starts, from a folder like a checkout's."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.port = free_port()
        (folder / "docker").mkdir()
        shutil.copy(ROOT / "docker/compose.yaml", folder / "docker")
        shutil.copy(ROOT / "docker/env.example", folder / ".env")
        self.file = folder / "docker/compose.yaml"
        socket = Path(engine.host.removeprefix("unix://"))
        self.environment = {
            "DOCKER_HOST": engine.host,
            "DOCKER_SOCKET": str(socket),
            "DOCKER_GROUP": str(socket.stat().st_gid),
            "MIDCOURSE_IMAGE": IMAGE,
            "POSTGRES_IMAGE": engine.build_postgres(),
            "PORT": str(self.port),
        }

    def compose(self, *arguments: str) -> str:
        """`docker compose …`, which must succeed."""
        tool = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        done = subprocess.run(
            [*tool, f"--file={self.file}", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        """Start all of it, and wait until it answers."""
        self.compose("up", "--detach", "--no-build")
        self.wait_until_it_answers()

    @property
    def url(self) -> str:
        """As it is published."""
        return f"http://127.0.0.1:{self.port}"

    def token(self) -> str:
        """The admin's, as the README fetches it."""
        return self.compose("exec", "-T", "api", "cat", "/data/token").strip()


@pytest.fixture
def composed(engine: Engine, tmp_path: Path) -> Iterator[Composed]:
    """All of it, which goes with the test."""
    if not shutil.which("docker-compose") and engine.try_("compose", "version").returncode != 0:
        missing = "no docker compose here (Debian's package docker-compose)"
        pytest.fail(missing) if os.environ.get(REQUIRE) == "require" else pytest.skip(missing)
    made = Composed(engine, tmp_path)
    try:
        yield made
    finally:
        trainers = engine.run("ps", "--all", "--quiet", "--filter=label=midcourse.run").split()
        if trainers:
            engine.run("rm", "--force", "--volumes", *trainers)
        made.compose("down", "--volumes", "--timeout=1")


def test_it_trains_in_containers_which_outlive_the_control_api(composed: Composed) -> None:
    engine = composed.engine
    composed.up()
    assert composed.token() not in composed.compose("logs", "--no-color")
    run = composed.curl("POST", "/runs", {"config": CONFIG})["id"]
    composed.wait_for_step(run, 1)
    composed.curl("POST", f"/runs/{run}/pause", None, "-H", "Prefer: wait=30")
    trainer = engine.inspect(f"midcourse-{run}-1")
    assert trainer["Config"]["User"] == "1000:1000"
    mounts = {each["Destination"]: each["RW"] for each in trainer["Mounts"]}
    assert mounts == {"/data/runs": True, "/data/data": True, "/datasets": False}
    assert list(trainer["NetworkSettings"]["Networks"]) == ["midcourse_trainers"]

    composed.compose("rm", "--stop", "--force")
    assert engine.inspect(f"midcourse-{run}-1")["State"]["Running"]
    composed.up()
    composed.curl("POST", f"/runs/{run}/resume")
    ended = composed.wait_for_status(run, "finished", "failed")
    assert (ended["status"], ended["attempt"], ended["error"]) == ("finished", 1, None)
    gone = lambda: engine.try_("inspect", f"midcourse-{run}-1").returncode != 0  # noqa: E731
    wait_for(gone, "its container is gone")


def test_a_trainer_reaches_the_control_api_and_not_the_database(composed: Composed) -> None:
    composed.up()
    command = ["python", "-c", f"{REACH}; print('the API was reached'); raise SystemExit(5)"]
    run = composed.curl("POST", "/runs", {"config": {}, "command": command})["id"]
    error = composed.wait_for_status(run, "failed")["error"]
    assert "not reached:" in error
    assert "the API was reached" in error
    assert "with exit code 5" in error
