"""A run is forked where it has never been: two homes, two control APIs, and W&B between them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from served import CHECKOUT, Served, free_port, wait_for
from wandb_server.server import WandbServer, wandb_server

from midcourse.contract.paths import RunPaths

pytestmark = pytest.mark.acceptance

CONFIG: dict[str, Any] = {
    "experiment": "far",
    "seed": 3,
    "data": {"name": "digits", "batch_size": 64},
    "model": {"name": "mlp", "dropout": 0.2},
    "train": {"epochs": 3, "checkpoint_every": "20 steps", "device": "cpu"},
}
CHANGES = {"optimizer.lr": 0.02, "train.epochs": 4}
ENDED = ("finished", "failed", "stopped")
SECONDS = 180.0


@pytest.fixture(scope="module")
def server() -> Iterator[WandbServer]:
    with wandb_server() as made:
        yield made


def start(home: Path, server: WandbServer, port: int | None = None) -> Served:
    """A control API with the bundled trainer, whose trackers are online."""
    home.mkdir(parents=True, exist_ok=True)
    return Served(
        home,
        port or free_port(),
        changes={"trainer_command": (sys.executable, "-m", "trainer")},
        WANDB_BASE_URL=server.url,
        WANDB_API_KEY="key0123456789" * 5,
        WANDB_ENTITY="lab",
        WANDB_PROJECT="digits",
        WANDB_MODE="online",
        MIDCOURSE_SLOTS="cpu:2",
        MIDCOURSE_HOST="127.0.0.1",
        OMP_NUM_THREADS="1",
    )


def until_end(api: Served, run: str) -> dict[str, Any]:
    ended = wait_for(
        lambda: api.ask("GET", f"/runs/{run}").json(), lambda it: it["status"] in ENDED, SECONDS
    )
    assert ended["status"] == "finished", ended["error"]
    found: dict[str, Any] = ended
    return found


def last_hash(api: Served, run: str) -> str:
    return str(api.ask("GET", f"/runs/{run}/checkpoints").json()["checkpoints"][-1]["state_hash"])


@pytest.fixture(scope="module")
def here(server: WandbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Where the run is trained."""
    api = start(tmp_path_factory.mktemp("a") / "home", server)
    try:
        yield api
    finally:
        api.end()


@pytest.fixture(scope="module")
def run(here: Served, server: WandbServer) -> str:
    """A run that has finished and has been sent to W&B, whose best checkpoint is not its last."""
    run = str(here.ask("POST", "/runs", json={"config": CONFIG}).json()["id"])
    until_end(here, run)
    wait_for(
        lambda: here.ask("GET", f"/runs/{run}").json()["tracking"],
        lambda it: it and it["state"] == "finished",
        SECONDS,
    )
    return run


@pytest.fixture
def there(server: WandbServer, tmp_path: Path) -> Iterator[Served]:
    """Another machine: a fresh home, with a database of its own."""
    api = start(tmp_path / "b" / "home", server)
    try:
        yield api
    finally:
        api.end()


def cli(api: Served, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "midcourse.cli", "--url", api.url, *arguments, "--json"],
        cwd=CHECKOUT,
        env={**os.environ, "MIDCOURSE_API_TOKEN": (api.home / "token").read_text().strip()},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_fork_there_equals_the_same_fork_here(here: Served, run: str, there: Served) -> None:
    differs = [f"--set={name}={value}" for name, value in CHANGES.items()]
    fork = cli(there, "fork", f"lab/digits/{run}@best", *differs, "--wait", "--timeout=120")
    ended = until_end(there, fork["id"])
    [best] = [
        each["name"]
        for each in here.ask("GET", f"/runs/{run}/checkpoints").json()["checkpoints"][-3:]
        if each["best"]
    ][-1:]
    assert ended["origin"]["checkpoint"] == best
    body = {"checkpoint": best, "changes": CHANGES}
    same = here.ask("POST", f"/runs/{run}/fork", json=body).json()["id"]
    until_end(here, same)
    assert last_hash(there, fork["id"]) == last_hash(here, same)
    assert last_hash(there, fork["id"]) != last_hash(here, run)
    parent = there.ask("GET", f"/runs/{run}").json()
    assert (parent["status"], parent["source"]) == ("imported", f"lab/digits/{run}")
    assert parent["config"]["seed"] == CONFIG["seed"]
    tree = there.ask("GET", f"/runs/{run}/lineage").json()["tree"]
    assert [child["id"] for child in tree["children"]] == [fork["id"]]


def test_a_parameter_that_the_program_lacks_is_refused_by_it(there: Served, run: str) -> None:
    body = {"source": f"lab/digits/{run}", "changes": {"mixup": 0.5}}
    fork = there.ask("POST", "/forks", json=body).json()["id"]
    failed = wait_for(
        lambda: there.ask("GET", f"/runs/{fork}").json(), lambda it: it["status"] in ENDED, SECONDS
    )
    assert failed["status"] == "failed"
    assert "mixup: is not a live parameter. Allowed: " in failed["error"]
    assert "optimizer.lr" in failed["error"]


def fetches_into(home: Path) -> list[str]:
    """The processes that fetch into a home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if {b"midcourse.tracking.fetch", str(home).encode()} <= {*words}:
                found.append(folder.name)
    return found


def test_a_power_cut_in_the_middle_of_the_fetch(
    server: WandbServer, run: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    first = start(home, server)
    hangs = server.faults.add("get", hang=True, after=1)
    try:
        fork = first.ask("POST", "/forks", json={"source": f"lab/digits/{run}@best"}).json()["id"]
        wait_for(lambda: hangs.met, bool, SECONDS)
        assert len(fetches_into(home)) == 1
        assert "from W&B" in first.ask("GET", f"/runs/{fork}").json()["waits_for"]
    finally:
        first.die()
    wait_for(lambda: fetches_into(home), lambda pids: not pids)  # it ends by itself
    assert not RunPaths(home, run).fetching.exists()
    hangs.lift()
    again = start(home, server, first.port)
    try:
        assert until_end(again, fork)["origin"]["run"] == run
    finally:
        again.end()
