"""Fetching a checkpoint from W&B: the real SDK, and an artifact that may be anything."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import CHECKOUT, wait_for
from steered import train
from wandb_server.artifacts import Artifact
from wandb_server.server import WandbServer, wandb_server

from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.imported import FetchedCheckpoint, ImportedRun
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin
from midcourse.errors import JournalUnusable, RunEnded
from midcourse.replay.export import export_journal

KEY = "key0123456789" * 5
LATEST = "us/midcourse/r1@latest"
PLAN: dict[int, Any] = {
    4: [{"kind": "set", "changes": {"optimizer.lr": 0.3, "noise": 0.4}}],
    25: [{"kind": "stop"}],
}


@pytest.fixture(scope="module")
def online() -> Iterator[WandbServer]:
    with wandb_server() as server, pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("WANDB_", "MIDCOURSE_")):
                patch.delenv(name)
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB_ENTITY", "us")
        yield server


@pytest.fixture(scope="module")
def here(online: WandbServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a run that was stopped after step 25, tracked online."""
    home = tmp_path_factory.mktemp("here")
    (home / "hash").write_text(train(home, "r1", plan=PLAN)["hash"])
    return home


@pytest.fixture
def artifact(online: WandbServer, here: Path) -> Iterator[Artifact]:
    """Its last checkpoint at the server; whatever a test does to it is undone."""
    found = online.artifact("r1-checkpoint:latest")
    assert found.manifest_blob is not None
    manifest = found.manifest_blob.data
    stored = {name: (blob, blob.data) for name, blob in found.stored.items()}
    yield found
    found.manifest_blob.data = manifest
    found.stored = {name: blob for name, (blob, _) in stored.items()}
    for blob, data in stored.values():
        blob.data = data
    online.faults.lift()
    online.refused_keys.clear()


def ask(home: Path, source: str = LATEST, **environ: str) -> subprocess.CompletedProcess[str]:
    """Fetch as the control API does: in a process."""
    return subprocess.run(
        [sys.executable, "-m", "midcourse.tracking.fetch", source, str(home)],
        cwd=CHECKOUT,
        env={**os.environ, "WANDB_INIT_TIMEOUT": "4", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def fetched(home: Path, source: str = LATEST, **environ: str) -> FetchedCheckpoint:
    done = ask(home, source, **environ)
    assert done.returncode == 0, done.stderr
    return FetchedCheckpoint.model_validate_json(done.stdout)


def refusal(home: Path, source: str = LATEST, *, code: int = 1, **environ: str) -> str:
    """What a fetch that fails says; nothing of it may be left behind."""
    done = ask(home, source, **environ)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert [path for path in home.rglob("*") if not path.is_dir()] == []
    assert not RunPaths(home, "r1").folder.exists()
    [said] = done.stderr.splitlines()
    assert KEY not in said
    return said


def upload(artifact: Artifact, name: str, data: bytes) -> None:
    """Put another file in an artifact, as whoever may write to the project could."""
    artifact.stored[name].data = data
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    alter(artifact, name, size=len(data), digest=digest)


def listing(artifact: Artifact) -> dict[str, Any]:
    """W&B's own list of its files."""
    assert artifact.manifest_blob is not None
    found: dict[str, Any] = json.loads(artifact.manifest_blob.data or b"")
    return found


def relist(artifact: Artifact, listed: dict[str, Any]) -> None:
    assert artifact.manifest_blob is not None
    artifact.manifest_blob.data = json.dumps(listed).encode()


def alter(artifact: Artifact, name: str, **changes: Any) -> None:
    """Change what that list says of a file."""
    listed = listing(artifact)
    listed["contents"].setdefault(name, {}).update(changes)
    relist(artifact, listed)


def edited(artifact: Artifact, name: str, edit: Callable[[Any], Any]) -> bytes:
    """A file of JSON, otherwise."""
    value = json.loads(artifact.files[name])
    return json.dumps(edit(value) or value).encode()


# -- what comes ---------------------------------------------------------------------------------


def test_a_checkpoint_comes_with_what_a_fork_needs(
    here: Path, artifact: Artifact, tmp_path: Path
) -> None:
    home = tmp_path / "there"
    found = fetched(home)
    assert (found.checkpoint.name, found.artifact) == ("step-25", "us/midcourse/r1-checkpoint:v0")
    paths, original = RunPaths(home, "r1"), RunPaths(here, "r1")
    assert paths.run_file.read_bytes() == original.run_file.read_bytes()
    assert paths.journal.read_bytes() == original.journal.read_bytes()
    manifest, _ = CheckpointStore(paths).load("step-25")
    assert manifest == CheckpointStore(original).manifest("step-25")
    noted = ImportedRun.model_validate_json(paths.imported.read_bytes())
    assert noted.artifacts == {"step-25": found.artifact}
    assert sorted(file.name for file in paths.checkpoint("step-25").iterdir()) == [
        "manifest.json",
        "state.json",
        "state.safetensors",
    ]
    assert list((home / "runs" / ".fetching").iterdir()) == []
    assert not any(KEY.encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_fork_of_it_equals_the_fork_at_home_and_is_replayed(
    here: Path, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a control API, too: the origin is in the environment."""
    there = tmp_path / "there"
    name = fetched(there).checkpoint.name
    monkeypatch.setenv("WANDB_MODE", "disabled")
    origin = Origin(run="r1", checkpoint=name, changes={"optimizer.lr": 0.01})
    monkeypatch.setenv("MIDCOURSE_ORIGIN", origin.to_json())
    hashes = [train(home, "rfork")["hash"] for home in (here, there)]
    assert hashes[0] == hashes[1]
    monkeypatch.delenv("MIDCOURSE_ORIGIN")
    assert train(there, "ragain", replay="rfork")["hash"] == hashes[0]
    assert train(there, "rwhole", replay="r1")["hash"] == (here / "hash").read_text()


def test_nobody_trains_on_under_its_id(artifact: Artifact, tmp_path: Path) -> None:
    fetched(tmp_path)
    with pytest.raises(RunEnded, match=r"run r1 was trained elsewhere.*; fork it"):
        train(tmp_path, "r1")


def test_without_its_journal_a_replay_says_what_is_missing(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("MIDCOURSE_ORIGIN", Origin(run="r1", checkpoint="step-25").to_json())
    train(tmp_path, "rfork")
    RunPaths(tmp_path, "r1").journal.unlink()
    with pytest.raises(JournalUnusable, match="has 0 of the 2 commands that the checkpoint"):
        export_journal(tmp_path, "rfork")


def test_what_is_there_is_not_fetched_again(
    online: WandbServer, artifact: Artifact, tmp_path: Path
) -> None:
    first = fetched(tmp_path)
    state = RunPaths(tmp_path, "r1").checkpoint("step-25") / "state.safetensors"
    before = state.stat()
    lost = online.faults.add("get", status=404, after=3)  # W&B's list, the manifest, the run file
    assert fetched(tmp_path, "us/midcourse/r1@step-25") == first
    assert lost.met == 0
    assert state.stat() == before


def test_another_checkpoint_of_its_name_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    fetched(tmp_path)
    path = RunPaths(tmp_path, "r1").checkpoint("step-25") / "manifest.json"
    other = json.loads(path.read_bytes())
    other["checkpoint"]["state_hash"] = "0" * 64
    path.write_text(json.dumps(other))
    done = ask(tmp_path)
    assert done.returncode == 1
    assert "another checkpoint step-25 of run r1 is in" in done.stderr
    assert json.loads(path.read_bytes()) == other


def test_another_run_of_its_id_is_left_as_it_is(artifact: Artifact, tmp_path: Path) -> None:
    run_file = RunPaths(tmp_path, "r1").run_file
    run_file.parent.mkdir(parents=True)
    other = json.loads(artifact.files["run.json"]) | {"seed": 4, "config": {}}
    run_file.write_text(json.dumps(other))
    done = ask(tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("already: they differ in seed, config\n")
    assert [file.name for file in run_file.parent.iterdir()] == ["run.json"]


def test_of_a_run_that_trained_here_only_its_own_checkpoints_come_back(
    here: Path, artifact: Artifact, tmp_path: Path
) -> None:
    home = tmp_path / "copy"
    shutil.copytree(here, home)
    paths = RunPaths(home, "r1")
    shutil.rmtree(paths.checkpoint("step-25"))
    assert fetched(home).checkpoint.name == "step-25"
    CheckpointStore(paths).load("step-25")
    assert not paths.imported.exists()
    shutil.rmtree(paths.checkpoint("step-25"))
    log = paths.run_log.read_text().splitlines(keepends=True)
    paths.run_log.write_text("".join(line for line in log if '"step-25"' not in line))
    done = ask(home)
    assert done.returncode == 1
    assert "run r1 was trained here, and its log knows no checkpoint step-25" in done.stderr
    assert not paths.checkpoint("step-25").exists()


def test_two_at_once_and_what_a_killed_one_left(artifact: Artifact, tmp_path: Path) -> None:
    left = RunPaths(tmp_path, "r1").fetching
    (left / "checkpoint").mkdir(parents=True)
    (left / "checkpoint" / "state.json").write_text("torn")
    (left / "link").symlink_to(tmp_path)
    command = [sys.executable, "-m", "midcourse.tracking.fetch", LATEST, str(tmp_path)]
    both = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    CheckpointStore(RunPaths(tmp_path, "r1")).load("step-25")
    assert not left.exists()


# -- what cannot be had --------------------------------------------------------------------------


def test_an_artifact_that_is_not_there(online: WandbServer, here: Path, tmp_path: Path) -> None:
    said = refusal(tmp_path, "us/midcourse/rnone@best")
    assert said.startswith("us/midcourse/rnone-checkpoint:best cannot be had from W&B: ")
    assert "not found" in said
    assert "not found" in refusal(tmp_path, "us/midcourse/r1@v7")


def test_a_key_that_is_refused(online: WandbServer, artifact: Artifact, tmp_path: Path) -> None:
    online.refused_keys.add(KEY)
    assert refusal(tmp_path).endswith(f"{online.url} refused the API key (401)")


def test_without_a_key_nothing_is_asked(online: WandbServer, here: Path, tmp_path: Path) -> None:
    asked = len(online.calls)
    assert refusal(tmp_path, WANDB_API_KEY="").endswith("there is no WANDB_API_KEY")
    assert len(online.calls) == asked


def test_a_link_of_another_server(here: Path, tmp_path: Path) -> None:
    said = refusal(tmp_path, "https://wandb.ai/us/midcourse/runs/r1")
    assert "is a page of wandb.ai, and the server that is used here is 127.0.0.1:" in said


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_outage_may_pass(
    online: WandbServer, artifact: Artifact, tmp_path: Path, status: int
) -> None:
    online.faults.add("graphql", status=status)
    assert f"{online.url} did not answer" in refusal(tmp_path, code=75)


def test_a_server_that_is_gone_may_come_back(here: Path, tmp_path: Path) -> None:
    said = refusal(tmp_path, code=75, WANDB_BASE_URL="http://127.0.0.1:9")
    assert "http://127.0.0.1:9 did not answer" in said


def test_a_file_that_is_gone(online: WandbServer, artifact: Artifact, tmp_path: Path) -> None:
    artifact.stored["state.json"].data = None
    assert "answered 404" in refusal(tmp_path)


def test_it_ends_when_whoever_started_it_is_gone(
    online: WandbServer, artifact: Artifact, tmp_path: Path
) -> None:
    hangs = online.faults.add("get", hang=True)
    command = [sys.executable, "-m", "midcourse.tracking.fetch", "--end-with-input"]
    process = subprocess.Popen(
        [*command, LATEST, str(tmp_path)], cwd=CHECKOUT, stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    wait_for(lambda: hangs.met, bool)
    process.stdin.close()
    assert process.wait(30) == 75
    paths = RunPaths(tmp_path, "r1")
    assert (paths.folder.exists(), paths.fetching.exists()) == (False, False)


# -- what was tampered with ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "journal.jsonl", "run.json"])
def test_a_file_that_is_not_what_was_uploaded(
    artifact: Artifact, tmp_path: Path, name: str
) -> None:
    data = bytearray(artifact.files[name])
    data[-2] ^= 1
    artifact.stored[name].data = bytes(data)
    said = refusal(tmp_path)
    assert f"Digest mismatch for file: {name}" in said or f"its {name} is damaged" in said


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_state_that_is_not_the_manifests(artifact: Artifact, tmp_path: Path, name: str) -> None:
    data = bytearray(artifact.files[name])
    data[-2] ^= 1
    upload(artifact, name, bytes(data))
    said = f"the sha256 of {name} is not what the manifest of step-25 says"
    assert refusal(tmp_path).endswith(said)


def test_a_state_hash_that_is_not_the_files(artifact: Artifact, tmp_path: Path) -> None:
    def other_hash(manifest: Any) -> None:
        manifest["checkpoint"]["state_hash"] = "0" * 64

    upload(artifact, "manifest.json", edited(artifact, "manifest.json", other_hash))
    assert refusal(tmp_path).endswith(
        "the state hash in the manifest of step-25 is not that of its files"
    )


def test_a_file_that_is_longer_than_was_said(artifact: Artifact, tmp_path: Path) -> None:
    artifact.stored["state.safetensors"].data = bytes(4 << 20)
    assert refusal(tmp_path).endswith("a file of it is longer than W&B says")


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("../../escaped", {"digest": "x", "size": 1}, "no part of a checkpoint: '../../escaped'"),
        ("/tmp/escaped", {"digest": "x", "size": 1}, "no part of a checkpoint: '/tmp/escaped'"),
        ("state.json/x", {"digest": "x", "size": 1}, "no part of a checkpoint: 'state.json/x'"),
        ("model.pkl", {"digest": "x", "size": 1}, "no part of a checkpoint: 'model.pkl'"),
        (
            "state.json",
            {"ref": "file:///etc/hostname", "digest": "x", "size": 1},
            "state.json is not in it but only referred to",
        ),
        ("manifest.json", {"size": 5 << 20}, "its manifest.json has 5.2 MB, more than"),
        ("state.json", {"size": 7}, "its state.json has 7 bytes in W&B where its manifest says"),
    ],
)
def test_a_list_of_files_that_is_no_checkpoints(
    artifact: Artifact, tmp_path: Path, name: str, entry: dict[str, Any], said: str
) -> None:
    alter(artifact, name, **entry)
    assert said in refusal(tmp_path)


def test_an_artifact_of_an_older_midcourse(artifact: Artifact, tmp_path: Path) -> None:
    listed = listing(artifact)
    del listed["contents"]["run.json"]
    relist(artifact, listed)
    assert "it lacks run.json; an older Midcourse logged it" in refusal(tmp_path)
