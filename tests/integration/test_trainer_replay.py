"""`python -m trainer --replay`: the bundled trainer repeats a run that was steered."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_run import records

from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command, SetParameters, Stop
from midcourse.contract.records import StatusChanged
from midcourse.contract.runs import RunFile, RunStatus
from midcourse.replay.export import export_journal, write_journal
from midcourse.session import Session
from trainer.__main__ import main

PARAMS = {
    "experiment": "again",
    "seed": 5,
    "data": {"name": "fake", "train_size": 70, "test_size": 20, "image_size": 8, "batch_size": 16},
    "train": {"device": "cpu", "epochs": 3},
}
COMMANDS = {
    3: SetParameters(changes={"optimizer.lr": 0.02, "data.batch_size": 10}),
    9: SetParameters(changes={"optimizer.momentum": 0.1}),
    11: Stop(),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the run r1 of the bundled trainer, steered and stopped at step 11."""
    monkeypatch.setenv("MIDCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    step = Session.step

    def steered(run: Session) -> None:
        action = COMMANDS.get(run.current_step)
        if action is not None:
            run.boundary.mailbox.post(
                Command(
                    run=run.id,
                    seq=run.current_step,
                    actor="ada",
                    accepted_at=utc_now(),
                    action=action,
                )
            )
        step(run)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", steered)
        assert main([str(tmp_path / "params.json"), "--run-id", "r1"]) == 0
    return tmp_path


def end(home: Path, run: str) -> StatusChanged:
    return [record for record in records(home, run) if isinstance(record, StatusChanged)][-1]


@pytest.mark.parametrize("given", ["the run", "a file", "the run and its configuration"])
def test_the_run_is_repeated_exactly(given: str, home: Path) -> None:
    source = "r1"
    if given == "a file":
        source = str(home / "journal.jsonl")
        write_journal(export_journal(home, "r1"), Path(source))
    params = [str(home / "params.json")] if "configuration" in given else []
    assert main([*params, "--replay", source, "--run-id", "r2"]) == 0
    ended = end(home, "r2")
    assert (ended.status, ended.step) == (RunStatus.STOPPED, 11)
    assert ended.summary["replay"] == "exact"


def test_another_configuration_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other: dict[str, Any] = PARAMS | {"seed": 6}
    (home / "other.json").write_text(json.dumps(other))
    assert main([str(home / "other.json"), "--replay", "r1", "--run-id", "r2"]) == 2
    said = capsys.readouterr().err
    assert "seed: is 6; the journal began with 5 of run r1" in said
    assert "config.seed: is 6; the journal began with 5 of run r1" in said


def test_the_run_file_names_the_source(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDCOURSE_REPLAY", "r1")
    assert main(["--run-id", "r2"]) == 0
    found = RunFile.model_validate_json((home / "runs" / "r2" / "run.json").read_bytes())
    assert (found.replay, found.seed, found.experiment) == ("r1", 5, "again")
