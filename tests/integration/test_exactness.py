"""A steered run is as trustworthy as an unattended one: equal to the bit, whatever happened."""

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from steered import train
from trainers import Trainers, finished, logged_losses, receipts, records

from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import StatusChanged
from midcourse.contract.runs import RunStatus
from midcourse.session import Session

PLAN: dict[int, list[dict[str, Any]]] = {
    3: [{"kind": "set", "changes": {"optimizer.lr": 0.02, "noise": 0.3}}],
    11: [{"kind": "checkpoint"}, {"kind": "set", "changes": {"model.dropout": 0.4}}],
    12: [
        {"kind": "pause"},
        {"kind": "set", "changes": {"optimizer.momentum": 0.5}},
        {"kind": "resume"},
    ],
    22: [{"kind": "set", "changes": {"loss.label_smoothing": 0.1, "optimizer.weight_decay": 0.05}}],
    30: [
        {"kind": "set", "changes": {"nonsense": 1}},
        {"kind": "set", "changes": {"train.epochs": 5}},
    ],
}
"""Commands of every kind that lets the run go on, one of them refused."""


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run that nothing happened to but its commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        return train(tmp_path_factory.mktemp("unattended"), "r1", plan=PLAN)


@pytest.fixture
def trainers(tmp_path: Path) -> Iterator[Trainers]:
    made = Trainers(tmp_path, PLAN)
    yield made
    made.close()


@pytest.mark.parametrize("moment", range(20))
def test_killed_at_a_random_moment_and_restarted(
    moment: int, trainers: Trainers, unattended: dict[str, Any]
) -> None:
    delay = random.Random(moment).uniform(0.0, 0.6)
    if trainers.run(kill_after=delay) != 0 and not finished(trainers.folder, "r1"):
        assert trainers.run() == 0
    if trainers.result.exists():  # else it was killed when all was said
        assert trainers.outcome()["hash"] == unattended["hash"]
    assert logged_losses(trainers.folder) == unattended["losses"]


@pytest.mark.parametrize("place", ["journalled", "concluded", "captured", "logged"])
def test_killed_at_the_worst_places(
    place: str, trainers: Trainers, unattended: dict[str, Any]
) -> None:
    codes = [trainers.run(kill_at=place) for _ in range(3)]  # it strikes again after each restart
    assert codes[0] == -signal.SIGKILL
    if codes[-1] != 0:
        assert trainers.run() == 0
    assert trainers.outcome()["hash"] == unattended["hash"]
    assert logged_losses(trainers.folder) == unattended["losses"]
    told = receipts(trainers.folder)
    states = {seq: told[seq][0] for seq in sorted(told)}
    assert states == {seq: "rejected" if seq == 8 else "applied" for seq in range(1, 10)}


def test_checkpoints_taken_during_a_redo_know_their_own_place_in_the_journal(
    trainers: Trainers, unattended: dict[str, Any]
) -> None:
    assert trainers.run(kill_at="unwritten") == -signal.SIGKILL
    assert trainers.run(kill_at="journalled") == -signal.SIGKILL
    assert trainers.run() == 0
    assert trainers.outcome()["hash"] == unattended["hash"]


def test_sigterm_checkpoints_and_a_restart_goes_on(
    trainers: Trainers, unattended: dict[str, Any]
) -> None:
    process = trainers.start()
    log = RunPaths(trainers.folder, "r1").run_log
    wait_for(lambda: log.exists() and b'"step":5' in log.read_bytes())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    if process.exitcode != 0:  # else it was done before the signal came
        assert process.exitcode == 128 + signal.SIGTERM
        assert trainers.run() == 0
    assert trainers.outcome()["hash"] == unattended["hash"]
    assert logged_losses(trainers.folder) == unattended["losses"]


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    done = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("waited in vain")


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, unattended: dict[str, Any]) -> None:
    def fail(run: Session, step: int) -> None:
        if step == 25:
            run.branch.writer.drain()
            raise RuntimeError("the program has a fault")

    with pytest.raises(RuntimeError):
        train(tmp_path, "r1", plan=PLAN, on_step=fail)
    paths = RunPaths(tmp_path, "r1")
    tensors = paths.checkpoint(CheckpointStore(paths).names()[-1]) / "state.safetensors"
    damaged = bytearray(tensors.read_bytes())
    damaged[-1] ^= 1
    tensors.write_bytes(damaged)
    assert train(tmp_path, "r1", plan=PLAN)["hash"] == unattended["hash"]
    [notice] = [record for record in records(tmp_path, "r1") if record.type == "notice"]
    assert str(tensors) in notice.message


def fork(home: Path, parent: str, child: str, checkpoint: str, **changes: Any) -> dict[str, str]:
    origin = {"run": parent, "checkpoint": checkpoint, "changes": changes, "actor": "test"}
    return {"MIDCOURSE_ORIGIN": json.dumps(origin)}


def test_a_fork_without_changes_is_its_parents_continuation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainers: Trainers
) -> None:
    """The child trains while the parent, paused at the fork, goes on when the child has begun."""
    plan = {13: [{"kind": "checkpoint", "pin": True}]}
    parent = trainers.start(plan=plan)
    wait_for(lambda: (RunPaths(tmp_path, "r1").checkpoint("step-13") / "manifest.json").exists())
    for name, value in fork(tmp_path, "r1", "r2", "step-13").items():
        monkeypatch.setenv(name, value)
    child = train(tmp_path, "r2")
    parent.join()
    assert parent.exitcode == 0
    continued = trainers.outcome()
    assert child["hash"] == continued["hash"]
    assert min(child["losses"]) == 14
    assert child["losses"] == {s: v for s, v in continued["losses"].items() if s > 13}


def test_pause_and_resume_leave_no_trace(tmp_path: Path) -> None:
    resumed = threading.Event()

    def resume_when_paused(run: Session) -> None:
        def watch() -> None:
            wait_for(lambda: run.status is RunStatus.PAUSED)
            resumed.set()
            from steered import Command, utc_now

            run.boundary.mailbox.post(
                Command.model_validate(
                    {
                        "run": "r1",
                        "seq": 2,
                        "actor": "test",
                        "accepted_at": utc_now(),
                        "action": {"kind": "resume"},
                    }
                )
            )

        threading.Thread(target=watch).start()

    paused = train(tmp_path / "a", "r1", plan={9: [{"kind": "pause"}]}, watch=resume_when_paused)
    assert resumed.is_set()
    assert paused["hash"] == train(tmp_path / "b", "r1")["hash"]


def test_an_edit_made_while_paused_acts_before_the_next_step(tmp_path: Path) -> None:
    edit = {"kind": "set", "changes": {"optimizer.lr": 0.001, "noise": 0.9}}
    paused = train(tmp_path / "a", "r1", plan={9: [{"kind": "pause"}, edit, {"kind": "resume"}]})
    straight = train(tmp_path / "b", "r1", plan={9: [edit]})
    assert paused["hash"] == straight["hash"]
    assert receipts(tmp_path / "a")[2] == receipts(tmp_path / "b")[1]
    assert paused["hash"] != train(tmp_path / "c", "r1", plan={10: [edit]})["hash"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize(
    "changes",
    [{"optimizer.lr": 0.003}, {"optimizer.momentum": 0.2}, {"optimizer.weight_decay": 0.3}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_fork_trains_with_its_changes(
    optimizer: str, changes: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the change had been made at that step, and not as if there had been none."""
    parent = train(
        tmp_path, "r1", optimizer=optimizer, plan={13: [{"kind": "checkpoint", "pin": True}]}
    )
    steered = train(
        tmp_path, "r3", optimizer=optimizer, plan={13: [{"kind": "set", "changes": changes}]}
    )
    for name, value in fork(tmp_path, "r1", "r2", "step-13", **changes).items():
        monkeypatch.setenv(name, value)
    child = train(tmp_path, "r2", optimizer=optimizer)
    assert child["hash"] == steered["hash"]
    assert child["hash"] != parent["hash"]
    [(state, step, _, after)] = receipts(tmp_path, "r2").values()
    assert (state, step) == ("applied", 13)
    assert after.items() >= changes.items()  # a momentum is the first of Adam's betas, told too


def test_a_fork_crashed_before_its_first_checkpoint_starts_again_with_its_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainers: Trainers
) -> None:
    train(tmp_path, "r1", plan={13: [{"kind": "checkpoint", "pin": True}]})
    for name, value in fork(tmp_path, "r1", "r2", "step-13", **{"optimizer.lr": 0.003}).items():
        monkeypatch.setenv(name, value)
    expected = train(tmp_path, "r2")
    for name, value in fork(tmp_path, "r1", "r4", "step-13", **{"optimizer.lr": 0.003}).items():
        monkeypatch.setenv(name, value)
    assert train(tmp_path, "r4")["hash"] == expected["hash"]


def test_revert_is_a_fork_in_the_same_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"optimizer.lr": 0.004}
    revert = {"kind": "revert", "checkpoint": "step-13", "child": "r2", "changes": changes}
    plan: dict[int, Any] = {13: [{"kind": "checkpoint", "pin": True}], 19: [revert]}
    reverted = train(tmp_path / "a", "r1", plan={**plan})
    assert reverted["id"] == "r2"
    straight = train(tmp_path / "b", "r1", plan={13: [{"kind": "set", "changes": changes}]})
    assert reverted["hash"] == straight["hash"]
    told = receipts(tmp_path / "a")[2]
    assert told[:2] == (CommandState.APPLIED.value, 19)
    assert told[3]["run"] == "r2"
    assert max(logged_losses(tmp_path / "a", "r1")) == 19
    assert min(logged_losses(tmp_path / "a", "r2")) == 14


@pytest.mark.parametrize("place", ["journalled:2", "concluded:2"])
def test_killed_in_the_middle_of_a_revert(place: str, trainers: Trainers) -> None:
    changes = {"optimizer.lr": 0.004}
    revert = {"kind": "revert", "checkpoint": "step-13", "child": "r2", "changes": changes}
    plan: dict[int, Any] = {13: [{"kind": "checkpoint", "pin": True}], 19: [revert]}
    assert trainers.run(plan=plan, kill_at=place) == -signal.SIGKILL
    assert trainers.run(plan=plan) == 0
    straight = train(
        trainers.folder / "straight", "r1", plan={13: [{"kind": "set", "changes": changes}]}
    )
    assert trainers.outcome()["hash"] == straight["hash"]
    assert trainers.outcome()["id"] == "r2"
    state, step, _, after = receipts(trainers.folder)[2]
    assert (state, step, after["run"]) == ("applied", 19, "r2")
    last = records(trainers.folder, "r1")[-1]
    assert isinstance(last, StatusChanged)
    assert (last.status, last.step) == (RunStatus.SUPERSEDED, 19)


def test_a_checkpoint_that_a_crash_kept_from_the_log_is_logged(tmp_path: Path) -> None:
    """Whoever reads the log knows every checkpoint that is on the disk, and no other."""

    def fail(run: Session, step: int) -> None:
        if step == 16:
            run.branch.writer.drain()
            raise RuntimeError("the program has a fault")

    with pytest.raises(RuntimeError):
        train(tmp_path, "r1", on_step=fail)
    log = RunPaths(tmp_path, "r1").run_log
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if b'"type":"checkpoint"' not in line))
    train(tmp_path, "r1", keep=100)
    told = [r.checkpoint.name for r in records(tmp_path, "r1") if r.type == "checkpoint"]
    kept = [folder.name for folder in RunPaths(tmp_path, "r1").checkpoints.glob("[!.]*")]
    assert sorted(told) == sorted(kept)


def test_a_stop_that_was_told_is_not_undone_by_a_crash(trainers: Trainers) -> None:
    plan: dict[int, Any] = {19: [{"kind": "stop"}]}
    assert trainers.run(plan=plan, kill_at="concluded:1") == -signal.SIGKILL
    assert trainers.run(plan=plan) == 0
    assert max(logged_losses(trainers.folder)) == 19
    last = records(trainers.folder, "r1")[-1]
    assert isinstance(last, StatusChanged)
    assert last.status is RunStatus.STOPPED


def test_a_checkpoint_that_was_asked_for_is_told_before_the_program_fails(tmp_path: Path) -> None:
    def fail(run: Session, step: int) -> None:
        if step == 16:
            raise RuntimeError("the program has a fault")

    with pytest.raises(RuntimeError):
        train(tmp_path, "r1", plan={15: [{"kind": "checkpoint"}]}, on_step=fail)
    types = [record.type for record in records(tmp_path, "r1")]
    assert types.index("receipt") < types.index("status")
