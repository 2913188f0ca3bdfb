"""Everything that was logged arrives at W&B exactly once, in order, whatever happens.

The real SDK against the stand-in server, with its faults; the tracker is a real process. After each
of them every row, medium, config value, summary value and artifact is compared with the run log.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from arrival import LIMIT, TRACKER, Tracked, online, send_by_hand, trainer, until
from tracked_runs import metrics
from wandb_server.server import WandbServer

from midcourse.contract.runs import RunStatus
from midcourse.tracking.supervisor import EXIT_BEHIND

RUN_STEPS = 40
MANY = 200_000


@pytest.fixture
def run(tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Tracked:
    online(monkeypatch, server)
    return Tracked(tmp_path / "home", server)


def train_and_end(run: Tracked) -> None:
    run.train(RUN_STEPS)
    run.change(1)
    run.train(RUN_STEPS)
    run.keep(best=True)
    run.train(10)
    run.keep()
    run.end()


def test_undisturbed(run: Tracked) -> None:
    tracker = run.tracker()
    run.begin()
    train_and_end(run)
    told = tracker.finish(LIMIT)
    assert (told.mode, told.state, told.left, told.error) == ("online", "finished", 0, None)
    run.assert_all_arrived()


@pytest.mark.parametrize("status", [404, 409, 413])
def test_one_refused_request_on_the_stream(run: Tracked, status: int) -> None:
    """After which the SDK sends no more rows, and says nothing of it."""
    tracker = run.tracker()
    run.begin()
    run.train(10)
    until(lambda: len(run.rows()) >= 9, "the first rows arrived")
    fault = run.server.faults.add("file_stream", status=status, count=1)
    train_and_end(run)
    told = tracker.finish(LIMIT)
    assert fault.met == 1
    assert (told.state, told.left) == ("finished", 0)
    run.assert_all_arrived()


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("file_stream", {"status": 500, "count": 4}),
        ("file_stream", {"status": 429, "count": 3}),
        ("file_stream", {"reset": True, "count": 3}),
        ("file_stream", {"slow": 1.0, "count": 5}),
        ("file_stream", {"status": 502, "carried_out": True, "count": 2}),
        ("put", {"status": 500, "count": 3}),
        ("put", {"status": 403, "count": 2}),
        ("CreateRunFiles", {"status": 404, "count": 1}),
        ("CreateArtifact", {"status": 409, "count": 1}),
        ("CommitArtifact", {"status": 400, "count": 1}),
        ("UpsertBucket", {"status": 409, "count": 1, "after": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_trouble_on_the_way(run: Tracked, route: str, fault: dict[str, object]) -> None:
    met = run.server.faults.add(route, **fault)  # type: ignore[arg-type]
    tracker = run.tracker()
    run.begin()
    train_and_end(run)
    told = tracker.finish(LIMIT)
    assert met.met, "the test has no fault"
    assert (told.state, told.left) == ("finished", 0)
    run.assert_all_arrived()


def test_a_server_that_is_down_at_the_start_gets_it_at_the_end(run: Tracked) -> None:
    run.server.stop()
    tracker = run.tracker()
    run.begin()
    run.train(10)
    until(lambda: run.status().mode == "offline", "it went offline")
    run.server.start()
    train_and_end(run)
    told = tracker.finish(LIMIT)
    assert (told.mode, told.state, told.left) == ("online", "finished", 0)
    run.assert_all_arrived()


def test_a_server_that_is_away_in_the_middle_gets_all_of_it(run: Tracked) -> None:
    tracker = run.tracker()
    run.begin()
    run.train(20)
    until(lambda: len(run.rows()) >= 19, "the first rows arrived")
    away = run.server.faults.add("any", reset=True)
    run.train(40)
    run.keep(best=True)
    until(lambda: away.met >= 5, "it is missed")
    away.lift()
    train_and_end(run)
    assert tracker.finish(LIMIT).state == "finished"
    run.assert_all_arrived()


def test_a_server_that_stays_away_is_sent_everything_later(run: Tracked) -> None:
    tracker = run.tracker(command=[*TRACKER, "--finish-seconds=5"])
    run.begin()
    run.train(20)
    until(lambda: len(run.rows()) >= 19, "the first rows arrived")
    run.server.stop()
    train_and_end(run)
    assert tracker.finish(LIMIT).state == "behind"
    run.server.start()
    send_by_hand(run.paths)
    assert (run.status().state, run.status().left) == ("finished", 0)
    run.assert_all_arrived()


def test_a_server_that_hangs_keeps_nothing_for_good(run: Tracked) -> None:
    tracker = run.tracker(command=[*TRACKER, "--finish-seconds=5"])
    run.begin()
    run.train(20)
    until(lambda: len(run.rows()) >= 19, "the first rows arrived")
    hanging = run.server.faults.add("any", hang=True)
    train_and_end(run)
    assert tracker.finish(LIMIT).state == "behind"
    assert tracker._process is not None
    assert tracker._process.returncode == EXIT_BEHIND
    hanging.lift()
    send_by_hand(run.paths)
    run.assert_all_arrived()


def test_a_killed_tracker_has_a_successor_that_goes_on(run: Tracked) -> None:
    tracker = run.tracker()
    run.begin()
    run.train(30)
    run.keep(best=True)
    until(run.is_read, "the tracker has handed it on")
    assert tracker._process is not None
    tracker._process.kill()
    tracker._process.wait()
    train_and_end(run)
    assert tracker.finish(LIMIT).state == "finished"
    run.assert_all_arrived()


@pytest.mark.parametrize("killed", ["trainer", "trainer and tracker"])
def test_a_killed_trainer_leaves_nothing_unsent(run: Tracked, killed: str) -> None:
    with trainer(run.paths) as tracker_pid:
        run.begin()
        run.train(30)
        until(run.is_read, "the tracker has handed it on")
        run.train(5)
        if killed == "trainer and tracker":
            os.kill(tracker_pid, 9)
    run.let_go()
    # The next attempt begins at once, from a checkpoint; its redo repeats steps.
    run.step = 20
    tracker = run.tracker()
    run.begin(attempt=2)
    train_and_end(run)
    assert tracker.finish(LIMIT).state == "finished"
    run.assert_all_arrived()


def test_a_run_that_is_never_started_again_is_sent_by_hand(run: Tracked) -> None:
    with trainer(run.paths) as tracker_pid:
        run.begin()
        run.train(30)
        run.keep(best=True)
        until(run.is_read, "the tracker has handed it on")
        os.kill(tracker_pid, 9)
    run.let_go()
    send_by_hand(run.paths)
    run.assert_all_arrived(RunStatus.INTERRUPTED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_in_the_folder_of_wandb_loses_nothing(run: Tracked) -> None:
    with small_disk(run.paths.tracking, kilobytes=96):
        tracker = run.tracker()
        run.begin()
        run.train(300)
        run.keep(best=True)
        train_and_end(run)
        tracker.finish(LIMIT)
        (run.paths.tracking / "tracker.log").read_bytes()
    send_by_hand(run.paths)
    run.assert_all_arrived()


def test_many_rows_at_the_end_all_arrive(run: Tracked) -> None:
    """200,000 rows that nobody could send so far: the run had been offline, say."""
    run.begin()
    run.train(10)
    rows = range(run.step, run.step + MANY)
    run.say(*(metrics(step, train__loss=1.0 / (step + 1)) for step in rows))
    run.step += MANY
    run.change(1)
    run.keep(best=True)
    run.end()
    send_by_hand(run.paths)
    assert (run.status().state, run.status().left) == ("finished", 0)
    run.assert_all_arrived()


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "midcourse-test", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
