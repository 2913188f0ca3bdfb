"""The main journey through W&B, by its public API alone: a run, its fork, and a fork elsewhere.

Against the stand-in; and, where WANDB_API_KEY is set and the server answers, against the real
thing, in a project of its own that is deleted in the end.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wandb
from arrival import KEY, until
from steered import train
from wandb_server.server import wandb_server

from midcourse.contract.names import new_run_id
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin, TrackingStatus
from midcourse.contract.wandb_source import DEFAULT_URL
from midcourse.tracking.settings import TrackingSettings
from midcourse.tracking.status import read_status
from midcourse.tracking.wandb_remote import answers

ROOT = Path(__file__).parents[2]
GIVEN = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
REAL_KEY = GIVEN.get("WANDB_API_KEY", "")
pytestmark = pytest.mark.acceptance


@dataclass(frozen=True)
class Place:
    """A project at a server."""

    api: Any
    entity: str
    project: str

    def run(self, run_id: str) -> Any:
        self.api.flush()
        return self.api.run(f"{self.entity}/{self.project}/{run_id}")


@pytest.fixture(params=["stand-in", "real"])
def place(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Place]:
    project = f"midcourse-test-{secrets.token_hex(4)}"
    for name in GIVEN:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_PROJECT", project)
    if request.param == "real":
        url = GIVEN.get("WANDB_BASE_URL", DEFAULT_URL)
        if not REAL_KEY or not answers(TrackingSettings(api_key=REAL_KEY), url):
            pytest.skip("needs WANDB_API_KEY, and a server that takes it")
        yield from at_server(monkeypatch, url, REAL_KEY, project)
        return
    with wandb_server() as server:
        yield from at_server(monkeypatch, server.url, KEY, project)
        assert server.errors == []


def at_server(monkeypatch: pytest.MonkeyPatch, url: str, key: str, project: str) -> Iterator[Place]:
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", key)
    api = wandb.Api(api_key=key, overrides={"base_url": url})
    place = Place(api, GIVEN.get("WANDB_ENTITY") or api.default_entity, project)
    yield place
    for run in api.runs(f"{place.entity}/{project}"):
        run.delete(delete_artifacts=True)


def tracking(home: Path, run_id: str) -> TrackingStatus:
    """How W&B has a run, once its tracker has ended."""
    paths = RunPaths(home, run_id)
    until(lambda: (read_status(paths) or OPEN).state != "running", "its tracker has ended")
    return read_status(paths) or OPEN


OPEN = TrackingStatus(mode="none")


def test_the_main_journey(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, parent, child = tmp_path / "home", new_run_id(), new_run_id()
    change = {"kind": "set", "changes": {"optimizer.lr": 0.01}}
    trained = train(home, parent, plan={5: [change]}, epochs=2)
    told = tracking(home, parent)
    assert (told.mode, told.state, told.left) == ("online", "finished", 0), told
    seen = place.run(parent)
    rows = seen.scan_history(keys=["_step", "train/loss"])
    assert {row["_step"]: row["train/loss"] for row in rows} == trained["losses"]
    assert seen.config["midcourse"]["parameters"]["optimizer"]["lr"] == 0.01
    assert seen.summary["midcourse/status"] == "finished"
    kept = {artifact.type: artifact for artifact in seen.logged_artifacts()}
    assert set(kept) >= {"model", "journal"}
    last = kept["model"].metadata["name"]

    monkeypatch.setenv("MIDCOURSE_ORIGIN", Origin(run=parent, checkpoint=last).to_json())
    train(home, child, epochs=4)
    assert tracking(home, child).state == "finished", tracking(home, child)
    used = [artifact for artifact in place.run(child).used_artifacts() if artifact.type == "model"]
    assert [artifact.metadata["name"] for artifact in used] == [last]
    assert used[0].logged_by().id == parent

    source, elsewhere = f"{place.entity}/{place.project}/{parent}@latest", tmp_path / "elsewhere"
    done = subprocess.run(
        [sys.executable, "-m", "midcourse.tracking.fetch", source, str(elsewhere)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    state = Path("runs") / parent / "checkpoints" / last / "state.safetensors"
    assert (elsewhere / state).read_bytes() == (home / state).read_bytes()
