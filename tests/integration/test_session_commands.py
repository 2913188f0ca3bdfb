"""Commands at step boundaries: what they do, what they leave alone, and their receipts."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import command, receipts, records, set_up, start, statuses, train

from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import CheckpointWritten, CommandDone
from midcourse.contract.runs import RunStatus
from midcourse.errors import JournalUnusable
from midcourse.handlers import HANDLERS, Handler
from midcourse.journal import Journal
from midcourse.live import groups
from midcourse.session import Session


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


def states(home: Path, run_id: str = "r1") -> dict[int, str]:
    return {seq: receipt.state.value for seq, receipt in receipts(home, run_id).items()}


def lr(value: float) -> dict[str, Any]:
    return {"changes": {"optimizer.lr": value}}


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


# -- set --------------------------------------------------------------------------------------


def test_a_change_acts_at_its_boundary_and_is_read_back(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        commands={
            0: [command(1, "set", **lr(0.5))],
            3: [command(2, "set", changes={"optimizer.lr": 2, "model.dropout": 0.4})],
        },
    )
    first, second = receipts(tmp_path).values()
    assert (first.step, first.before, first.after) == (
        0,
        {"optimizer.lr": 0.1},
        {"optimizer.lr": 0.5},
    )
    assert (second.step, second.after) == (3, {"optimizer.lr": 2.0, "model.dropout": 0.4})
    assert run.edits == 2


def test_what_is_not_acceptable_is_rejected_with_every_fault(tmp_path: Path) -> None:
    changes = {"optimizer.lr": -1.0, "model.dropuot": 0.5, "train.epochs": 1.5}
    run = train(
        tmp_path,
        commands={
            1: [command(1, "set", changes=changes), command(2, "set", **lr(0.5))],
            7: [command(3, "set", changes={"train.epochs": 1})],
        },
    )
    receipt = receipts(tmp_path)[1]
    assert receipt.state is CommandState.REJECTED
    assert (receipt.before, receipt.after) == ({}, {})
    assert {fault.path for fault in receipt.faults} == set(changes)
    assert receipts(tmp_path)[2].before == {"optimizer.lr": 0.1}
    assert "must be at least 2: epoch 1, counted from 0, is under way" in str(
        receipts(tmp_path)[3].reason
    )
    assert run.last_step == 9


def test_more_epochs_and_fewer(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        epochs=2,
        commands={
            9: [command(1, "set", changes={"train.epochs": 4})],
            11: [command(2, "set", changes={"train.epochs": 3})],
        },
    )
    assert run.last_step == 14
    totals = [r.total_steps for r in records(tmp_path) if isinstance(r, CommandDone)]
    assert totals == [20, 15]


def test_a_change_that_fails_half_way_leaves_the_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(optimizer: torch.optim.Optimizer, decay: float) -> None:
        optimizer.param_groups[0]["weight_decay"] = 9.0
        raise RuntimeError("no such luck")

    monkeypatch.setattr(groups, "set_weight_decay", fail)
    both = {"changes": {"optimizer.lr": 0.5, "optimizer.weight_decay": 0.1}}
    run = train(tmp_path, commands={2: [command(1, "set", **both)]})
    receipt = receipts(tmp_path)[1]
    assert receipt.state is CommandState.FAILED
    assert receipt.reason == "RuntimeError: no such luck"
    assert run.parameters.values()["optimizer.lr"] == 0.1
    assert run.parameters.values()["optimizer.weight_decay"] == 0
    assert run.edits == 0
    assert statuses(tmp_path) == ["finished"]


@pytest.mark.parametrize("part", ["check", "act"])
def test_a_handler_that_raises_ends_its_command_and_nothing_else(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Session, command: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    kind = type(command(1, "pause").action)
    broken = {"check": HANDLERS[kind].check, "act": HANDLERS[kind].act, part: fail}
    monkeypatch.setitem(HANDLERS, kind, Handler(**broken))
    train(tmp_path, commands={2: [command(1, "pause"), command(2, "set", **lr(0.5))]})
    assert states(tmp_path) == {1: "failed", 2: "applied"}
    assert receipts(tmp_path)[1].reason == "ZeroDivisionError: division by zero"
    assert statuses(tmp_path) == ["finished"]


def test_a_journal_that_finds_no_room_fails_the_command_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def each(run: Session) -> None:
        if run.current_step == 2:
            monkeypatch.setattr(Journal, "_append", _no_space)
        if run.current_step == 3:
            assert run.parameters.values()["optimizer.lr"] == 0.1
            monkeypatch.undo()
            monkeypatch.setenv("WANDB_MODE", "disabled")

    train(
        tmp_path,
        each=each,
        commands={2: [command(1, "set", **lr(0.5))], 4: [command(2, "set", **lr(0.7))]},
    )
    failed, applied = receipts(tmp_path).values()
    assert failed.state is CommandState.FAILED
    assert failed.reason == "the journal could not be written: No space left on device"
    assert applied.before == {"optimizer.lr": 0.1}


def _no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_told_as_failed_is_not_tried_again_by_a_redo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk kept the outcome from the journal; the log has the receipt."""
    monkeypatch.setattr(groups, "set_weight_decay", _no_space)
    conclude = Journal._append

    def append(self: Journal, record: Any) -> None:
        if record.type == "outcome":
            _no_space()
        conclude(self, record)

    monkeypatch.setattr(Journal, "_append", append)

    def each(run: Session) -> None:
        if run.current_step == 4:
            raise RuntimeError

    set_decay = {"changes": {"optimizer.weight_decay": 0.1}}
    with pytest.raises(RuntimeError):
        train(tmp_path, each=each, commands={2: [command(1, "set", **set_decay)]})
    assert states(tmp_path) == {1: "failed"}
    monkeypatch.undo()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = train(tmp_path)
    assert run.parameters.values()["optimizer.weight_decay"] == 0
    assert states(tmp_path) == {1: "failed"}


def test_a_program_that_no_longer_takes_what_it_took_cannot_be_redone(tmp_path: Path) -> None:
    def each(run: Session) -> None:
        if run.current_step == 4:
            raise RuntimeError

    def prepare(run: Session) -> None:
        run.live("mixup", 0.1)

    with pytest.raises(RuntimeError):
        train(
            tmp_path,
            prepare=prepare,
            each=each,
            commands={2: [command(1, "set", changes={"mixup": 0.5})]},
        )
    with pytest.raises(JournalUnusable, match="command 1 of run r1 cannot be repeated at step 2"):
        train(tmp_path)


# -- order and duplicates ---------------------------------------------------------------------


def test_each_number_acts_once_whatever_the_wire_repeats(tmp_path: Path) -> None:
    twice = [command(1, "set", **lr(0.5)), command(2, "set", **lr(0.7))]
    run = train(tmp_path, commands={1: [twice[1], *twice], 2: twice, 6: twice})
    assert [r.receipt.seq for r in records(tmp_path) if isinstance(r, CommandDone)] == [1, 2]
    assert run.parameters.values()["optimizer.lr"] == 0.7


def test_a_command_for_another_run_is_not_ours(tmp_path: Path) -> None:
    train(tmp_path, commands={1: [command(1, "stop", run="r9")]})
    assert receipts(tmp_path) == {}
    assert statuses(tmp_path) == ["finished"]


# -- pause, resume, stop ----------------------------------------------------------------------


def post_while_paused(*posted: Any) -> Callable[[Session], None]:
    """Post commands from another thread, as the link does, once the run is paused."""

    def prepare(run: Session) -> None:
        def post() -> None:
            wait_for(lambda: run.status is RunStatus.PAUSED)
            for each in posted:
                run.boundary.mailbox.post(each)

        threading.Thread(target=post).start()

    return prepare


def test_a_paused_run_takes_commands_until_it_resumes(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        commands={2: [command(1, "pause")]},
        prepare=post_while_paused(
            command(2, "pause"), command(3, "set", **lr(0.5)), command(4, "resume")
        ),
    )
    assert states(tmp_path) == {1: "applied", 2: "rejected", 3: "applied", 4: "applied"}
    assert receipts(tmp_path)[2].reason == "the run is paused already"
    assert {receipt.step for receipt in receipts(tmp_path).values()} == {2}
    assert receipts(tmp_path)[4].after == {"status": "running"}
    assert statuses(tmp_path) == ["paused", "running", "finished"]
    assert run.last_step == 9


def test_a_run_that_is_not_paused_does_not_resume(tmp_path: Path) -> None:
    train(tmp_path, commands={1: [command(1, "resume")]})
    assert receipts(tmp_path)[1].reason == "the run is not paused"
    assert states(tmp_path) == {1: "rejected"}


@pytest.mark.parametrize("paused", [False, True])
def test_stop_writes_a_checkpoint_and_ends_the_run_for_good(tmp_path: Path, paused: bool) -> None:
    first = [command(1, "pause")] if paused else []
    run = train(
        tmp_path,
        commands={3: [*first, command(2, "stop"), command(3, "set", **lr(0.5))]},
    )
    assert run.last_step == 3
    assert run.ended
    receipt = receipts(tmp_path)[2]
    assert receipt.after["status"] == "stopped"
    _, tree = CheckpointStore(RunPaths(tmp_path, "r1")).load(receipt.after["checkpoint"])
    assert tree["next_step"] == 4
    assert receipts(tmp_path)[3].state is CommandState.EXPIRED
    assert statuses(tmp_path)[-1] == "stopped"


def test_a_stop_before_the_first_step(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        set_up(run)
        plan_redo = run.boundary.plan_redo

        def plan_and_post(*args: Any) -> None:
            plan_redo(*args)
            run.boundary.mailbox.post(command(1, "stop"))

        run.boundary.plan_redo = plan_and_post  # type: ignore[method-assign]
        assert list(run.batches(torch.arange(8), batch_size=4)) == []
    assert receipts(tmp_path)[1].step == -1
    assert receipts(tmp_path)[1].after["checkpoint"] == "initial"
    assert statuses(tmp_path) == ["stopped"]


# -- checkpoint -------------------------------------------------------------------------------


def test_a_checkpoint_on_command_is_told_when_it_is_on_the_disk(tmp_path: Path) -> None:
    train(
        tmp_path,
        keep=1,
        commands={
            2: [command(1, "checkpoint", pin=True)],
            4: [command(2, "checkpoint"), command(3, "set", **lr(0.5)), command(4, "checkpoint")],
        },
    )
    assert set(states(tmp_path).values()) == {"applied"}
    told = {seq: receipt.after.get("checkpoint") for seq, receipt in receipts(tmp_path).items()}
    assert told == {1: "step-2", 2: "step-4", 3: None, 4: "step-4.1"}
    store = CheckpointStore(RunPaths(tmp_path, "r1"))
    assert store.names() == ["step-2", "step-4", "step-9"]  # pinned; for an undo; the last
    assert store.pinned("step-2")
    assert not store.pinned("step-4")
    written = {
        r.checkpoint.name: r.checkpoint.state_hash
        for r in records(tmp_path)
        if isinstance(r, CheckpointWritten)
    }
    assert written["step-4"] == receipts(tmp_path)[2].after["state_hash"]
    assert written["step-4"] != written["step-4.1"]


def test_one_state_is_written_once(tmp_path: Path) -> None:
    train(
        tmp_path,
        checkpoint_every="5 steps",
        commands={4: [command(1, "checkpoint"), command(2, "checkpoint", pin=True)]},
    )
    written = [r.checkpoint.name for r in records(tmp_path) if isinstance(r, CheckpointWritten)]
    assert written == ["initial", "step-4", "step-9"]
    assert CheckpointStore(RunPaths(tmp_path, "r1")).pinned("step-4")


def test_a_checkpoint_that_finds_no_room_is_a_failed_command(tmp_path: Path) -> None:
    def each(run: Session) -> None:
        if run.current_step == 2:
            run.branch.writer.drain()
            run.paths.checkpoints.rename(run.paths.folder / "moved")
            run.paths.checkpoints.write_text("in the way")
        if run.current_step == 6:
            run.branch.writer.drain()
            run.paths.checkpoints.unlink()

    train(
        tmp_path,
        each=each,
        commands={2: [command(1, "checkpoint")], 4: [command(2, "stop")], 8: [command(3, "stop")]},
    )
    assert states(tmp_path) == {1: "failed", 2: "failed", 3: "applied"}
    assert "checkpoint step-2 was not written: " in str(receipts(tmp_path)[1].reason)
    assert statuses(tmp_path) == ["stopped"]


# -- revert -----------------------------------------------------------------------------------


def test_a_revert_goes_on_as_the_child_and_keeps_its_beat(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        epochs=3,
        checkpoint_every="2 steps",
        keep=20,
        commands={
            8: [
                command(1, "revert", checkpoint="step-3", child="r2", **lr(0.5)),
                command(2, "set", **lr(0.9)),
            ]
        },
    )
    assert (run.id, run.last_step) == ("r2", 14)
    receipt = receipts(tmp_path)[1]
    assert receipt.before == {"run": "r1", "step": 8}
    assert receipt.after["run"] == "r2"
    assert receipt.after["checkpoint"] == "step-3"
    assert states(tmp_path) == {1: "applied", 2: "superseded"}  # it was for the parent
    assert statuses(tmp_path) == ["superseded"]
    assert statuses(tmp_path, "r2") == ["finished"]
    [changes] = receipts(tmp_path, "r2").values()
    assert (changes.seq, changes.step, changes.after) == (0, 3, {"optimizer.lr": 0.5})
    names = CheckpointStore(RunPaths(tmp_path, "r2")).names()
    assert names == ["step-5", "step-7", "step-9", "step-11", "step-13", "step-14"]
    assert CheckpointStore(RunPaths(tmp_path, "r1")).pinned("step-3")


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"checkpoint": "step-7", "child": "r2"}, "run r1 has no checkpoint step-7; it has: init"),
        ({"checkpoint": "step-1", "child": "r1"}, "r1 is this run; its child needs an id"),
        ({"checkpoint": "step-1", "child": "r2", **lr(-1.0)}, "optimizer.lr: must be a number"),
    ],
)
def test_a_revert_that_makes_no_sense_changes_nothing(
    tmp_path: Path, action: dict[str, Any], reason: str
) -> None:
    run = train(
        tmp_path, checkpoint_every="2 steps", commands={4: [command(1, "revert", **action)]}
    )
    assert states(tmp_path) == {1: "rejected"}
    assert reason in str(receipts(tmp_path)[1].reason)
    assert (run.id, run.last_step) == ("r1", 9)


def test_a_revert_that_fails_puts_everything_back(tmp_path: Path) -> None:
    """The child's folder cannot be made; the run goes on as one that was not asked."""

    def prepare(run: Session) -> None:
        (tmp_path / "runs" / "r2").write_text("in the way")

    revert = command(1, "revert", checkpoint="step-1", child="r2")
    steered = train(tmp_path, prepare=prepare, checkpoint_every="2 steps", commands={4: [revert]})
    left_alone = train(tmp_path / "other", checkpoint_every="2 steps")
    assert states(tmp_path) == {1: "failed"}
    assert steered.last_step == 9
    ends = [
        CheckpointStore(RunPaths(home, "r1")).manifest("step-9").checkpoint.state_hash
        for home in (tmp_path, tmp_path / "other")
    ]
    assert ends[0] == ends[1]
    assert left_alone.last_step == 9


def test_a_late_receipt_of_a_crash_is_reported_once(tmp_path: Path) -> None:
    """The journal has the outcome; the crash kept it from the log."""
    train_into_crash(tmp_path)
    log = RunPaths(tmp_path, "r1").run_log
    kept = [line for line in log.read_bytes().splitlines(True) if b'"receipt"' not in line]
    log.write_bytes(b"".join(kept))
    train(tmp_path)
    done = [r.receipt for r in records(tmp_path) if isinstance(r, CommandDone)]
    assert [(receipt.seq, receipt.step) for receipt in done] == [(1, 2)]
    assert isinstance(done[0], Receipt)
    assert done[0].after == {"optimizer.lr": 0.5}


def train_into_crash(home: Path) -> None:
    def each(run: Session) -> None:
        if run.current_step == 4:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(home, each=each, commands={2: [command(1, "set", **lr(0.5))]})


def test_fresh_commands_wait_until_what_was_told_is_redone(tmp_path: Path) -> None:
    train_into_crash(tmp_path)
    train(tmp_path, commands={3: [command(2, "set", **lr(0.7))]})
    assert receipts(tmp_path)[2].step == 4  # steps 0 to 4 had been told already
    assert receipts(tmp_path)[2].before == {"optimizer.lr": 0.5}


def test_what_an_ancestor_did_after_the_fork_is_no_place_to_revert_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = {step: [command(step, "checkpoint", pin=True)] for step in (1, 2, 6)}
    train(tmp_path, commands=pins)
    origin = {"run": "r1", "checkpoint": "step-2", "changes": {}}
    monkeypatch.setenv("MIDCOURSE_ORIGIN", json.dumps(origin))
    reverts = {
        3: [command(1, "revert", run="r2", checkpoint="step-6", child="r3")],
        4: [command(2, "revert", run="r2", checkpoint="step-1", child="r3")],
    }
    run = train(tmp_path, run_id="r2", commands=reverts)
    told = receipts(tmp_path, "r2")
    assert told[1].state is CommandState.REJECTED
    assert "step-6" in told[1].reason
    assert told[2].state is CommandState.APPLIED
    assert run.id == "r3"


def test_a_reverts_changes_are_judged_by_where_it_goes(tmp_path: Path) -> None:
    """Two epochs in all are too few in the third epoch, and enough in the first."""
    epochs = {"changes": {"train.epochs": 2}}
    run = train(
        tmp_path,
        epochs=3,
        checkpoint_every="2 steps",
        keep=20,
        commands={
            12: [
                command(1, "revert", checkpoint="step-11", child="r2", **epochs),
                command(2, "revert", checkpoint="step-3", child="r3", **epochs),
            ]
        },
    )
    told = receipts(tmp_path)
    assert told[1].state is CommandState.REJECTED
    assert "must be at least 3: epoch 2" in told[1].reason
    assert told[2].state is CommandState.APPLIED
    assert (run.id, run.last_step) == ("r3", 9)


def test_a_refused_revert_leaves_no_trace(tmp_path: Path) -> None:
    def final(home: Path, commands: Any) -> str:
        train(home, checkpoint_every="2 steps", keep=20, commands=commands)
        return CheckpointStore(RunPaths(home, "r1")).manifest("step-9").checkpoint.state_hash

    refused = [command(1, "revert", checkpoint="step-3", child="r2", **lr(-1.0))]
    assert final(tmp_path / "refused", {6: refused}) == final(tmp_path / "plain", {})
    assert states(tmp_path / "refused") == {1: "rejected"}
