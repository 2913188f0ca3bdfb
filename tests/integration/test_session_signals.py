"""Ctrl-C, SIGTERM, errors, and the loss of the run's place."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import command, receipts, records, set_up, start, statuses, train

import midcourse
from midcourse import engine
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import CheckpointWritten, StatusChanged
from midcourse.contract.runs import RunStatus
from midcourse.errors import Interrupted, PlaceLost
from midcourse.session import Session


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


def at_step(step: int, act: Callable[[Session], None]) -> Callable[[Session], None]:
    def each(run: Session) -> None:
        if run.current_step == step:
            act(run)

    return each


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_end_it_checkpoints_and_can_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    handler = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        train(tmp_path, each=at_step(3, lambda _: send(number)))
    assert caught.value.code == code
    assert signal.getsignal(number) == handler
    assert statuses(tmp_path) == ["interrupted"]
    last = [r.checkpoint for r in records(tmp_path) if isinstance(r, CheckpointWritten)][-1]
    assert (last.name, last.reason.value) == ("step-3", "interrupted")
    assert train(tmp_path).last_step == 9
    assert statuses(tmp_path) == ["interrupted", "finished"]


def test_interrupted_in_its_last_step_it_still_finishes_later(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, each=at_step(9, lambda _: send(signal.SIGTERM)))
    steps: list[int] = []
    run = train(tmp_path, each=lambda run: steps.append(run.current_step))
    assert (steps, run.last_step) == ([], 9)
    assert statuses(tmp_path) == ["interrupted", "finished"]


def test_asked_to_end_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, prepare=lambda _: send(signal.SIGTERM))
    assert CheckpointStore(RunPaths(tmp_path, "r1")).names() == ["initial"]
    assert train(tmp_path).last_step == 9


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    def twice(_: Session) -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, checkpoint_every="2 steps", each=at_step(4, twice))
    assert statuses(tmp_path) == ["interrupted"]
    assert CheckpointStore(RunPaths(tmp_path, "r1")).names() == ["initial", "step-1", "step-3"]


def test_asked_to_end_while_paused_it_is_paused_again(tmp_path: Path) -> None:
    def when_paused(act: Callable[[Session], None]) -> Callable[[Session], None]:
        def prepare(run: Session) -> None:
            def wait() -> None:
                while run.status is not RunStatus.PAUSED:
                    time.sleep(0.005)
                act(run)

            threading.Thread(target=wait).start()

        return prepare

    with pytest.raises(Interrupted):
        train(
            tmp_path,
            commands={2: [command(1, "pause")]},
            prepare=when_paused(lambda _: send(signal.SIGTERM)),
        )
    assert statuses(tmp_path) == ["paused", "interrupted"]
    resume = command(2, "resume")
    run = train(tmp_path, prepare=when_paused(lambda run: run.boundary.mailbox.post(resume)))
    assert run.last_step == 9
    assert statuses(tmp_path) == ["paused", "interrupted", "paused", "running", "finished"]
    assert receipts(tmp_path)[2].step == 2


def test_a_signal_in_the_very_moment_of_an_alert_is_no_deadlock(tmp_path: Path) -> None:
    """A handler runs on the thread that it interrupts, whatever that thread was about to hold."""
    program = """
import signal, sys
from midcourse.boundary import Boundary
boundary = Boundary(None, None)
signal.signal(signal.SIGALRM, lambda *_: boundary.alert())
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for _ in range(100_000):
    boundary.alert()
    boundary._forget_alerts()
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_an_error_of_the_program_is_told_and_it_can_go_on(tmp_path: Path) -> None:
    def fail(_: Session) -> None:
        raise ValueError("the loss is a fish")

    with pytest.raises(ValueError, match="the loss is a fish"):
        train(tmp_path, each=at_step(3, fail))
    [last] = [record for record in records(tmp_path) if isinstance(record, StatusChanged)]
    assert (last.status, last.step) == (RunStatus.FAILED, 2)
    assert last.reason == "ValueError: the loss is a fish"
    assert train(tmp_path).last_step == 9


def test_leaving_the_loop_early_is_an_end(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        work = set_up(run)
        for _ in run.batches(torch.arange(20), batch_size=4):
            work()
            run.step()
            break
    assert statuses(tmp_path) == ["finished"]
    assert CheckpointStore(RunPaths(tmp_path, "r1")).names() == ["initial", "step-0"]


def test_who_lost_the_place_says_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[float] = []
    close = engine.Branch.close

    def closing(self: Any, tracker_seconds: float) -> None:
        closed.append(tracker_seconds)
        close(self, tracker_seconds)

    monkeypatch.setattr(engine.Branch, "close", closing)
    with pytest.raises(PlaceLost, match="run r1 was given to another process; this one ends"):
        train(tmp_path, each=at_step(3, lambda run: run.lose_place()))
    assert statuses(tmp_path) == []
    assert closed == [0]  # the successor must not wait for our tracker
    assert train(tmp_path).last_step == 9


def test_a_session_works_outside_the_main_thread(tmp_path: Path) -> None:
    ended: list[int | None] = []
    thread = threading.Thread(target=lambda: ended.append(train(tmp_path).last_step))
    thread.start()
    thread.join()
    assert ended == [9]


def test_a_killed_program_leaves_a_run_that_is_free_at_once(tmp_path: Path) -> None:
    """Its writer shares the lock, and ends when its order is done."""
    program = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(midcourse.__file__).parents[1]), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from tiny_run import train
def each(run):
    if run.current_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
train(Path({str(tmp_path)!r}), each=each, checkpoint_every="1 steps")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert ended.returncode == -signal.SIGKILL
    began = time.monotonic()
    assert train(tmp_path).last_step == 9
    assert time.monotonic() - began < 10
