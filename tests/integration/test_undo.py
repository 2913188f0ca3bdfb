"""Undo goes to the checkpoint before the last change: change, train on, undo = never changed."""

import os
from pathlib import Path
from typing import Any

import pytest
from steered import train
from tiny_run import receipts, records

from midcourse.checkpoints.store import CheckpointStore
from midcourse.checkpoints.writing import WriterProcess
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import CheckpointWritten
from midcourse.session import Session


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


def change(**changes: Any) -> dict[str, Any]:
    return {"kind": "set", "changes": {name.replace("__", "."): v for name, v in changes.items()}}


LR = change(optimizer__lr=0.3, noise=0.9)
DROPOUT = change(model__dropout=0.7, optimizer__weight_decay=0.2)


def undo(child: str) -> dict[str, Any]:
    return {"kind": "undo", "child": child}


def in_child(*steps: tuple[int, dict[str, Any]]) -> Any:
    """Posts commands to whichever run is the present one, once each, at its steps."""
    waiting = list(enumerate(steps, start=1))

    def on_step(run: Session, step: int) -> None:
        if waiting and step == waiting[0][1][0] and run.id != "r1":
            seq, (_, action) = waiting.pop(0)
            run.boundary.mailbox.post(
                Command.model_validate(
                    {
                        "run": run.id,
                        "seq": seq,
                        "actor": "test",
                        "accepted_at": utc_now(),
                        "action": action,
                    }
                )
            )

    return on_step


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        found: str = train(tmp_path_factory.mktemp("unchanged"), "r1")["hash"]
        return found


@pytest.mark.parametrize("checkpoint_every", [None, "7 steps", "1 epoch"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_change_train_on_undo_is_never_changed(
    optimizer: str, checkpoint_every: str | None, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "checkpoint_every": checkpoint_every}
    plain = train(tmp_path / "plain", "r1", **options)
    steered = train(tmp_path / "undone", "r1", plan={13: [LR], 21: [undo("r2")]}, **options)
    assert steered["hash"] == plain["hash"]
    assert steered["losses"] == plain["losses"]  # the last losses of each step
    assert steered["id"] == "r2"
    receipt = receipts(tmp_path / "undone")[2]
    assert receipt.before == {"run": "r1", "step": 21}
    assert (receipt.after["run"], receipt.after["checkpoint"]) == ("r2", "step-13")


def test_the_receipt_of_a_change_says_where_undo_goes(tmp_path: Path) -> None:
    train(tmp_path, "r1", plan={13: [LR, DROPOUT], 14: [{"kind": "checkpoint"}]})
    told = receipts(tmp_path)
    assert [told[seq].details.get("undo_to") for seq in (1, 2, 3)] == ["step-13", "step-13.1", None]
    reasons = {
        r.checkpoint.name: r.checkpoint.reason.value
        for r in records(tmp_path)
        if isinstance(r, CheckpointWritten)
    }
    assert reasons["step-13.1"] == "before_change"


def test_undo_takes_back_only_the_last_of_two_changes_at_one_step(tmp_path: Path) -> None:
    wanted = train(tmp_path / "one", "r1", plan={13: [LR]})
    found = train(tmp_path / "two", "r1", plan={13: [LR, DROPOUT], 20: [undo("r2")]})
    assert found["hash"] == wanted["hash"]


def test_undo_and_undo_again(tmp_path: Path, unchanged: str) -> None:
    found = train(
        tmp_path,
        "r1",
        plan={8: [LR], 13: [DROPOUT], 20: [undo("r2")]},
        on_step=in_child((25, undo("r3"))),
    )
    assert found["hash"] == unchanged
    assert found["id"] == "r3"
    assert receipts(tmp_path, "r2")[1].after["checkpoint"] == "step-8"


def test_what_was_changed_since_an_undo_is_undone_next(tmp_path: Path) -> None:
    wanted = train(tmp_path / "one", "r1", plan={8: [LR]})
    found = train(
        tmp_path / "two",
        "r1",
        plan={8: [LR], 13: [DROPOUT], 20: [undo("r2")]},
        on_step=in_child((25, DROPOUT), (30, undo("r3"))),
    )
    assert found["hash"] == wanted["hash"]
    assert found["id"] == "r3"


def test_undo_of_a_forks_own_changes_is_its_parents_continuation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchanged: str
) -> None:
    train(tmp_path, "r1", keep=50)
    monkeypatch.setenv(
        "MIDCOURSE_ORIGIN",
        '{"run": "r1", "checkpoint": "step-13", "changes": {"optimizer.lr": 0.3}}',
    )
    found = train(tmp_path, "r5", plan={20: [undo("r6")]})
    assert found["hash"] == unchanged
    assert receipts(tmp_path, "r5")[0].details["undo_to"] == "step-13"


def test_nothing_to_undo_is_refused(tmp_path: Path, unchanged: str) -> None:
    found = train(
        tmp_path, "r1", plan={5: [undo("r2")], 8: [{"kind": "pause"}, {"kind": "resume"}]}
    )
    assert found["hash"] == unchanged
    assert receipts(tmp_path)[1].state.value == "rejected"
    assert "nothing was changed" in receipts(tmp_path)[1].reason


def test_the_checkpoints_of_the_last_changes_outlive_the_retention(tmp_path: Path) -> None:
    train(tmp_path, "r1", keep=1, plan={3: [LR], 5: [DROPOUT]})
    assert "step-5" in CheckpointStore(RunPaths(tmp_path, "r1")).names()
    assert "step-3" not in CheckpointStore(RunPaths(tmp_path, "r1")).names()


def test_a_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    def lose(run: Session, step: int) -> None:
        if step == 20 and run.id == "r1":
            run.branch.writer.drain()
            run.branch.store.set_aside("step-5")

    train(tmp_path, "r1", plan={5: [LR], 20: [undo("r2")]}, on_step=lose)
    receipt = receipts(tmp_path)[2]
    assert receipt.state.value == "rejected"
    assert "no checkpoint from before command 1 of run r1" in receipt.reason


def test_a_change_without_room_for_a_checkpoint_says_that_it_cannot_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = WriterProcess.capture

    def refuse(self: WriterProcess, tree: Any) -> Any:
        if tree["next_step"] == 6:
            raise MemoryError("no memory left")
        return capture(self, tree)

    monkeypatch.setattr(WriterProcess, "capture", refuse)
    train(tmp_path, "r1", plan={5: [LR], 8: [undo("r2")]})
    told = receipts(tmp_path)
    assert told[1].state.value == "applied"
    assert told[1].details["undo"].startswith("not possible: ")
    assert told[2].state.value == "rejected"


def test_two_changes_before_the_first_step_are_two_states(tmp_path: Path) -> None:
    changed = train(tmp_path / "two", "r1", plan={-1: [LR, DROPOUT], 9: [undo("r2")]})
    told = receipts(tmp_path / "two")
    assert [told[seq].step for seq in (1, 2)] == [-1, -1]
    assert [told[seq].details["undo_to"] for seq in (1, 2)] == ["initial", "initial.1"]
    assert changed["hash"] == train(tmp_path / "one", "r1", plan={-1: [LR]})["hash"]
