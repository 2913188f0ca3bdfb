"""Commands with a time of their own: scheduled, for some steps only, withdrawn, or only tried."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tiny_run import command, receipts, records, set_up, start, statuses, train

from midcourse.contract.commands import Command
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import CheckpointWritten, Notice, StatusChanged
from midcourse.journal import Journal
from midcourse.session import Session


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


def at(seq: int, kind: str, *, dry_run: bool = False, **fields: Any) -> Command:
    """A command whose `step` or `epoch` says when it acts."""
    when = {key: fields.pop(key) for key in ("step", "epoch") if key in fields}
    plain = command(seq, kind, **fields).model_dump()
    return Command.model_validate(plain | {"at": when or None, "dry_run": dry_run})


def cancel(seq: int, other: int) -> Command:
    plain = command(seq, "pause").model_dump()
    return Command.model_validate(plain | {"action": {"kind": "cancel", "seq": other}})


def lr(value: float) -> dict[str, Any]:
    return {"changes": {"optimizer.lr": value}}


def told(home: Path, run_id: str = "r1") -> dict[int, tuple[str, int | None]]:
    return {seq: (r.state.value, r.step) for seq, r in receipts(home, run_id).items()}


# -- scheduled --------------------------------------------------------------------------------


def test_a_scheduled_command_acts_when_its_step_is_complete(tmp_path: Path) -> None:
    rates: dict[int, float] = {}

    def note(run: Session) -> None:
        rates[run.current_step] = run.parameters.values()["optimizer.lr"]  # type: ignore[assignment]

    train(
        tmp_path,
        each=note,
        commands={1: [at(1, "set", step=6, **lr(0.5)), at(2, "set", step=4, **lr(0.3))]},
    )
    assert told(tmp_path) == {2: ("applied", 4), 1: ("applied", 6)}
    assert [rates[step] for step in (4, 5, 6, 7)] == [0.1, 0.3, 0.3, 0.5]


def test_a_scheduled_epoch_acts_when_it_is_complete(tmp_path: Path) -> None:
    train(
        tmp_path,
        epochs=3,
        commands={1: [at(1, "set", epoch=1, **lr(0.5)), at(2, "set", epoch=0, **lr(0.3))]},
    )
    assert told(tmp_path) == {2: ("applied", 4), 1: ("applied", 9)}


def test_what_is_due_together_acts_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    late, early = at(2, "set", step=4, **lr(0.2)), at(1, "set", step=4, **lr(0.5))
    run = train(tmp_path, commands={1: [late], 2: [early]})
    assert list(told(tmp_path)) == [1, 2]
    assert run.parameters.values()["optimizer.lr"] == 0.2


def test_the_boundary_at_hand_is_not_past(tmp_path: Path) -> None:
    train(tmp_path, commands={4: [at(1, "set", step=4, **lr(0.5)), at(2, "set", epoch=0, **lr(1))]})
    assert told(tmp_path) == {1: ("applied", 4), 2: ("applied", 4)}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"step": 2}, "step 2 is past: the run has completed step 5 of epoch 1"),
        ({"epoch": 0}, "epoch 0 is past: the run has completed step 5 of epoch 1"),
    ],
)
def test_a_time_that_is_past_is_refused(when: dict[str, int], message: str, tmp_path: Path) -> None:
    train(tmp_path, commands={5: [at(1, "set", **when, **lr(0.5))]})
    assert told(tmp_path) == {1: ("rejected", 5)}
    assert receipts(tmp_path)[1].reason == message


def test_an_epoch_means_nothing_without_batches(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        work = set_up(run)
        run.begin()
        run.boundary.mailbox.post(at(1, "set", epoch=3, **lr(0.5)))
        work()
        run.step()
    assert "does not use run.batches" in receipts(tmp_path)[1].reason


def test_it_is_checked_when_it_acts(tmp_path: Path) -> None:
    train(tmp_path, commands={1: [at(1, "resume", step=3)]})
    assert told(tmp_path) == {1: ("rejected", 3)}


def test_what_never_came_to_act_expires_with_the_run(tmp_path: Path) -> None:
    train(tmp_path, commands={1: [at(1, "set", step=500, **lr(0.5))], 6: [command(2, "stop")]})
    assert told(tmp_path) == {2: ("applied", 6), 1: ("expired", 6)}
    assert "stopped" in receipts(tmp_path)[1].reason
    assert Journal(RunPaths(tmp_path, "r1").journal).waiting() == []


def test_what_waits_when_the_run_is_reverted_is_superseded(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        checkpoint_every="2 steps",
        keep=9,
        commands={
            1: [at(1, "set", step=8, **lr(0.5))],
            5: [command(2, "revert", checkpoint="step-3", child="r2")],
        },
    )
    assert told(tmp_path) == {1: ("superseded", 5), 2: ("applied", 5)}
    assert run.parameters.values()["optimizer.lr"] == 0.1


def test_a_full_journal_makes_no_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "schedule", full)
    train(tmp_path, commands={1: [at(1, "set", step=3, **lr(0.5))]})
    assert told(tmp_path) == {1: ("failed", 1)}
    assert "No space left" in receipts(tmp_path)[1].reason


def test_a_crash_does_not_lose_what_waits(tmp_path: Path) -> None:
    def fail(run: Session) -> None:
        if run.current_step == 4:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tmp_path, each=fail, commands={1: [at(1, "set", step=7, **lr(0.5))]})
    train(tmp_path)
    assert told(tmp_path) == {1: ("applied", 7)}


# -- withdrawn --------------------------------------------------------------------------------


def test_a_scheduled_command_can_be_withdrawn(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        commands={1: [at(1, "set", step=7, **lr(0.5))], 3: [cancel(2, 1)]},
    )
    assert told(tmp_path) == {1: ("cancelled", None), 2: ("applied", 3)}
    assert receipts(tmp_path)[1].reason == "withdrawn by command 2 of ada"
    assert run.parameters.values()["optimizer.lr"] == 0.1


def test_only_what_waits_can_be_withdrawn(tmp_path: Path) -> None:
    train(
        tmp_path,
        commands={
            1: [command(1, "set", **lr(0.5)), at(2, "pause", step=9_000)],
            3: [cancel(3, 1)],
        },
    )
    assert told(tmp_path)[3] == ("rejected", 3)
    assert receipts(tmp_path)[3].reason == "no scheduled command 1 waits; there are: 2"


# -- run N steps, then pause ------------------------------------------------------------------


def resume_when_paused(run: Session, seq: int) -> threading.Thread:
    def watch() -> None:
        while run.status.value != "paused":
            if run.ended:
                return
            threading.Event().wait(0.002)
        run.boundary.mailbox.post(command(seq, "resume"))

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("first", [["pause"], []])
def test_run_some_steps_then_pause(first: list[str], tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    def each(run: Session) -> None:
        if run.current_step == 3:
            threads.append(resume_when_paused(run, 3))

    posted = [command(1, kind) for kind in first]
    train(tmp_path, each=each, commands={2: [*posted, command(2, "resume", steps=4)]})
    for thread in threads:
        thread.join()
    assert receipts(tmp_path)[2].after == {"status": "running", "pause_after_step": 6}
    assert told(tmp_path)[3] == ("applied", 6)
    [pause] = [
        record
        for record in records(tmp_path)
        if isinstance(record, StatusChanged)
        and record.reason == "paused after step 6, as was asked for"
    ]
    assert pause.step == 6


def test_a_pause_before_the_steps_are_done_takes_their_place(tmp_path: Path) -> None:
    train(
        tmp_path,
        commands={
            2: [command(1, "resume", steps=4)],
            4: [command(2, "pause"), command(3, "resume")],
        },
    )
    assert statuses(tmp_path) == ["paused", "running", "finished"]


@pytest.mark.parametrize("crash_at", [4, 7])
def test_a_crash_keeps_the_pause_to_come(crash_at: int, tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    def fail(run: Session) -> None:
        if run.current_step == 6:
            threads.append(resume_when_paused(run, 2))
        if run.current_step == crash_at:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tmp_path, each=fail, commands={2: [command(1, "resume", steps=4)]})
    train(tmp_path, each=lambda run: fail(run) if run.current_step != crash_at else None)
    for thread in threads:
        thread.join()
    assert told(tmp_path) == {1: ("applied", 2), 2: ("applied", 6)}


# -- only tried -------------------------------------------------------------------------------


def test_a_dry_run_shows_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        commands={
            2: [
                at(1, "set", dry_run=True, changes={"optimizer.lr": 0.5, "model.dropout": 0.3}),
                at(2, "set", dry_run=True, **lr(-1)),
                at(3, "pause", dry_run=True),
                at(4, "stop", dry_run=True),
                at(5, "undo", dry_run=True, child="r9"),
                at(6, "set", dry_run=True, step=1, **lr(0.5)),
                at(7, "set", dry_run=True, step=9, **lr(0.5)),
            ]
        },
    )
    assert {seq: state for seq, (state, _) in told(tmp_path).items()} == {
        1: "checked",
        2: "rejected",
        3: "checked",
        4: "checked",
        5: "rejected",
        6: "rejected",
        7: "checked",
    }
    receipt = receipts(tmp_path)[1]
    assert receipt.before == {"optimizer.lr": 0.1, "model.dropout": 0.1}
    assert receipt.after == {"optimizer.lr": 0.5, "model.dropout": 0.3}
    assert run.parameters.values()["optimizer.lr"] == 0.1
    assert (run.edits, run.last_step, run.id) == (0, 9, "r1")
    written = [r.checkpoint.name for r in records(tmp_path) if isinstance(r, CheckpointWritten)]
    assert written == ["initial", "step-9"]


# -- alert ------------------------------------------------------------------------------------


def test_an_alert_is_told_and_changes_nothing(tmp_path: Path) -> None:
    train(tmp_path, commands={2: [command(1, "alert", message="look at the loss")]})
    assert told(tmp_path) == {1: ("applied", 2)}
    notices = [record.message for record in records(tmp_path) if isinstance(record, Notice)]
    assert notices == ["look at the loss"]
