"""Stop, pressed where a run is shown: a command of the run's own, with checkpoint and receipt."""

import time
from pathlib import Path
from typing import Any

import pytest
from steered import train
from tiny_run import receipts, records

from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason
from midcourse.contract.commands import FORK_SEQ, Command, Fork, Pause, Stop
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import CheckpointWritten, CommandDone, StatusChanged
from midcourse.contract.runs import RunStatus
from midcourse.errors import RunEnded
from midcourse.journal import Journal
from midcourse.session import Session
from midcourse.stop_wish import ACTOR, StopWish


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def press(run: Session) -> None:
    """As the tracker does; waits until the run has heard of it."""
    run.paths.stop_wish.parent.mkdir(exist_ok=True)
    run.paths.stop_wish.touch()
    deadline = time.monotonic() + 60.0
    while not run.branch.stop_wish.heard:
        assert time.monotonic() < deadline, "the run does not look"
        time.sleep(0.01)


def test_the_button_is_a_stop_command_on_the_record(tmp_path: Path) -> None:
    train(tmp_path, "r1", on_step=lambda run, step: press(run) if step == 5 else None)
    [done] = [each for each in records(tmp_path, "r1") if isinstance(each, CommandDone)]
    assert (done.command.actor, done.command.action, done.command.seq) == (ACTOR, Stop(), -1)
    assert (done.receipt.state, done.receipt.step) == (CommandState.APPLIED, 5)
    ends = [each for each in records(tmp_path, "r1") if isinstance(each, StatusChanged)]
    assert (ends[-1].status, ends[-1].step) == (RunStatus.STOPPED, 5)
    written = [each for each in records(tmp_path, "r1") if isinstance(each, CheckpointWritten)]
    assert (written[-1].checkpoint.reason, written[-1].checkpoint.step) == (
        CheckpointReason.END,
        5,
    )
    with pytest.raises(RunEnded):
        train(tmp_path, "r1")


def test_a_press_that_a_crash_swallowed_is_heard_at_the_next_start(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "r1")
    paths.tracking.mkdir(parents=True)
    paths.stop_wish.touch()

    def wait_for_the_look(run: Session, step: int) -> None:
        if step == 2:
            press(run)

    train(tmp_path, "r1", on_step=wait_for_the_look)
    [receipt] = receipts(tmp_path, "r1").values()
    assert receipt.state is CommandState.APPLIED


def test_a_paused_run_wakes_for_it(tmp_path: Path) -> None:
    def press_while_paused(run: Session) -> None:
        original = run.change_status

        def change(status: RunStatus, *reason: Any) -> None:
            original(status, *reason)
            if status is RunStatus.PAUSED:
                run.paths.stop_wish.parent.mkdir(exist_ok=True)
                run.paths.stop_wish.touch()

        run.change_status = change  # type: ignore[method-assign]

    train(tmp_path, "r1", plan={3: [{"kind": "pause"}]}, watch=press_while_paused)
    found = receipts(tmp_path, "r1")
    assert {seq: receipt.step for seq, receipt in found.items()} == {1: 3, -1: 3}
    assert Journal(RunPaths(tmp_path, "r1").journal).position == 2


@pytest.mark.parametrize("action", [Pause(), Stop()])
def test_a_tag_that_came_from_the_page_does_not_disable_the_button(
    tmp_path: Path, action: Pause | Stop
) -> None:
    """It has the same actor; the control API has numbered it."""
    paths = RunPaths(tmp_path, "r1")
    paths.folder.mkdir(parents=True)
    journal = Journal(paths.journal)
    tag = Command(run="r1", seq=1, actor=ACTOR, accepted_at=utc_now(), action=action)
    journal.refuse(tag, Receipt(run="r1", seq=1, state=CommandState.REJECTED, at=utc_now()))
    paths.tracking.mkdir()
    paths.stop_wish.touch()
    wish = StopWish(paths, journal)
    assert wish.look()
    made = wish.take("r1")
    assert made is not None
    assert (made.seq, made.action) == (-1, Stop())
    journal.intend(3, made)
    again = StopWish(paths, journal)
    assert again.look()
    assert again.take("r1") is None, "what a crash left is not acted upon twice"


def test_a_fork_that_a_tag_asked_for_hears_the_button(tmp_path: Path) -> None:
    """Its journal begins with the changes of the fork, in the name of the page."""
    paths = RunPaths(tmp_path, "r2")
    paths.tracking.mkdir(parents=True)
    paths.stop_wish.touch()
    fork = Fork(changes={"optimizer.lr": 0.1})
    made = Command(run="r2", seq=FORK_SEQ, actor=ACTOR, accepted_at=utc_now(), action=fork)
    journal = Journal(paths.journal)
    journal.intend(3, made)
    wish = StopWish(paths, journal)
    assert wish.look()
    assert wish.take("r2") is not None


def test_a_number_that_a_policy_has_used_is_not_used_again(tmp_path: Path) -> None:
    policies = [{"kind": "plateau", "metric": "train/loss", "patience": 1}]
    train(
        tmp_path,
        "r1",
        policies=policies,
        on_step=lambda run, step: press(run) if step == 15 else None,
    )
    done = [each for each in records(tmp_path, "r1") if isinstance(each, CommandDone)]
    actors = [each.command.actor for each in done]
    assert actors[0] == "policy:plateau"
    assert actors[-1] == ACTOR
    assert done[-1].command.seq == -len(done)
