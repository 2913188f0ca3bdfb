"""A run's journal in W&B: it goes there with the run, and a replay gets it from there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from steered import train
from tiny_run import records
from wandb_server.server import WandbServer, wandb_server

from midcourse.contract.errors import InvalidInput
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import StatusChanged
from midcourse.contract.runs import RunFile
from midcourse.replay import finding
from midcourse.replay.finding import find_journal
from midcourse.tracking.download import full_name
from midcourse.tracking.settings import TrackingSettings

KEY = "key0123456789" * 5
PLAN: dict[int, Any] = {
    4: [{"kind": "set", "changes": {"optimizer.lr": 0.3, "noise": 0.4}}],
    9: [{"kind": "checkpoint"}],
    30: [{"kind": "stop"}],
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MIDCOURSE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Any:
    with wandb_server() as stand_in:
        monkeypatch.setenv("WANDB_BASE_URL", stand_in.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield stand_in


def test_a_run_is_replayed_from_its_artifact_by_another_machine(
    online: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(tmp_path / "here", "r1", plan=PLAN)
    assert online.artifact("journal-r1:latest").type == "journal"
    again = train(tmp_path / "there", "r2", replay="wandb:journal-r1:latest")
    assert again["hash"] == first["hash"]
    paths = RunPaths(tmp_path / "there", "r2")
    said = [r for r in records(tmp_path / "there", "r2") if isinstance(r, StatusChanged)]
    assert said[-1].summary["replay"] == "exact"
    run_file = RunFile.model_validate_json(paths.run_file.read_bytes())
    assert run_file.replay == "wandb:journal-r1:latest"
    header, *commands = map(json.loads, paths.replay.read_text().splitlines())
    assert (header["run"], header["status"], header["last_step"]) == ("r1", "stopped", 30)
    told = ("actor", "step", "before", "after", "reason", "time")
    assert all(name in command for command in commands for name in told)
    assert [command["step"] for command in commands] == [4, 9, 30]
    assert not any(KEY.encode() in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


def test_an_offline_run_keeps_its_journal_to_be_sent(tmp_path: Path) -> None:
    train(tmp_path, "r1", plan=PLAN)
    paths = RunPaths(tmp_path, "r1")
    [file] = paths.tracking.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    artifacts = [json.loads(line).get("artifact") for line in found.stdout.splitlines()]
    [kept] = [each for each in artifacts if each and each["type"] == "journal"]
    assert kept["name"] == "journal-r1"
    [content] = kept["manifest"]["contents"]
    staged = Path(content["local_path"])
    assert staged.is_relative_to(paths.tracking)
    assert len(staged.read_text().splitlines()) == 4


def refusal(home: Path, source: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        find_journal(source, home)
    [fault] = refused.value.faults
    return str(fault)


def test_an_artifact_that_is_not_there_is_one_sentence(online: WandbServer, tmp_path: Path) -> None:
    said = refusal(tmp_path, "wandb:us/midcourse/journal-rnone")
    assert said.startswith("replay: us/midcourse/journal-rnone cannot be had from W&B: ")
    assert "not found" in said
    assert KEY not in said


def test_without_a_key_nothing_is_asked(tmp_path: Path) -> None:
    assert refusal(tmp_path, "wandb:journal-r1") == (
        "replay: journal-r1 cannot be had from W&B: there is no WANDB_API_KEY; export the journal "
        "to a file instead"
    )


@pytest.mark.parametrize("name", ["r1", "model-r1", "a/b/c/journal-r1", "/journal-r1"])
def test_what_names_no_journal_is_refused(name: str, online: WandbServer, tmp_path: Path) -> None:
    assert "names no journal" in refusal(tmp_path, f"wandb:{name}")
    assert online.operations == []


def test_a_server_that_does_not_answer_is_not_waited_for(
    online: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "DOWNLOAD_SECONDS", 0.2)
    begun = time.monotonic()
    assert "did not hand over journal-r1 within 0.2 seconds" in refusal(
        tmp_path, "wandb:journal-r1"
    )
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("said", "entity", "meant"),
    [
        ("journal-r1", None, "midcourse/journal-r1:latest"),
        ("journal-r1", "us", "us/midcourse/journal-r1:latest"),
        ("other/journal-r1:v2", "us", "us/other/journal-r1:v2"),
        ("them/other/journal-r1", "us", "them/other/journal-r1:latest"),
    ],
)
def test_what_is_left_out_of_a_name_is_as_for_tracking(
    said: str, entity: str | None, meant: str
) -> None:
    assert full_name(said, TrackingSettings(entity=entity)) == meant
