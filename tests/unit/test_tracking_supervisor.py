"""The tracker process as the session sees it, with small programs in the tracker's place."""

import sys
import time
from pathlib import Path

import pytest
from tracked_runs import RUN

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import TrackingStatus
from midcourse.tracking.status import read_status, write_status
from midcourse.tracking.supervisor import MOST_RESTARTS, TrackerProcess


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return RunPaths(tmp_path, RUN)


def program(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import sys, pathlib, time\n{code}"]


def starts(paths: RunPaths) -> int:
    """How often the program below was started."""
    file = paths.folder / "starts"
    return len(file.read_text()) if file.exists() else 0


COUNT = "open(pathlib.Path(sys.argv[1]) / 'starts', 'a').write('x')\n"


def wait_for_end(tracker: TrackerProcess) -> None:
    assert tracker._process is not None
    tracker._process.wait()


def test_a_dead_tracker_is_restarted_with_growing_pauses_up_to_a_limit(paths: RunPaths) -> None:
    clock = Clock()
    tracker = TrackerProcess(paths, command=program(COUNT + "sys.exit(1)"), clock=clock)
    tracker.start()
    for restart in range(MOST_RESTARTS):
        wait_for_end(tracker)
        clock.now += 2.0**restart * 0.9
        tracker.ensure_alive()
        assert starts(paths) == restart + 1, "too soon"
        clock.now += 2.0**restart * 0.2
        tracker.ensure_alive()
        wait_for_end(tracker)
        assert starts(paths) == restart + 2
    clock.now += 500.0
    tracker.ensure_alive()
    assert starts(paths) == MOST_RESTARTS + 1
    status = read_status(paths)
    assert status is not None
    assert status.state == "failed"
    assert "died 6 times" in (status.error or "")
    assert tracker.finish(1.0).state == "failed"


def test_a_tracker_that_lived_long_has_all_its_restarts_again(paths: RunPaths) -> None:
    clock = Clock()
    tracker = TrackerProcess(paths, command=program(COUNT + "sys.exit(1)"), clock=clock)
    tracker.start()
    for _ in range(3 * MOST_RESTARTS):
        wait_for_end(tracker)
        clock.now += 1000.0
        tracker.ensure_alive()
    wait_for_end(tracker)
    assert starts(paths) == 3 * MOST_RESTARTS + 1


def test_a_tracker_that_ended_well_is_left_alone(paths: RunPaths) -> None:
    tracker = TrackerProcess(paths, command=program(COUNT))
    tracker.start()
    wait_for_end(tracker)
    tracker.ensure_alive()
    tracker.finish(1.0)
    assert starts(paths) == 1


def test_finish_restarts_a_tracker_that_died_with_rows_unsent(paths: RunPaths) -> None:
    dies_once = COUNT + (
        "if (pathlib.Path(sys.argv[1]) / 'starts').stat().st_size < 2: sys.exit(1)\n"
        "folder = pathlib.Path(sys.argv[1]) / 'tracking'\n"
        """(folder / 'status.json').write_text('{"mode": "offline", "state": "finished"}')\n"""
    )
    tracker = TrackerProcess(paths, command=program(dies_once))
    tracker.start()
    assert tracker.finish(60.0).state == "finished"
    assert starts(paths) == 2


def test_finish_is_bounded_and_says_behind(paths: RunPaths, tmp_path: Path) -> None:
    fifo = tmp_path / "wait"
    slow = f"import os\nos.mkfifo({str(fifo)!r})\nopen({str(fifo)!r}).read()"
    tracker = TrackerProcess(paths, command=program(slow))
    tracker.start()
    begin = time.monotonic()
    status = tracker.finish(0.2)
    assert time.monotonic() - begin < 5.0
    assert status.state == "behind"
    process = tracker._process
    assert process is not None
    process.kill()
    process.wait()


def test_a_tracker_that_cannot_be_started_hurts_nobody(paths: RunPaths) -> None:
    tracker = TrackerProcess(paths, command=["/no/such/program"])
    tracker.start()
    tracker.ensure_alive()
    status = tracker.finish(1.0)
    assert status.state == "failed"
    assert "could not be started" in (status.error or "")


def test_disabled_starts_no_process(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = TrackerProcess(paths, command=program(COUNT))
    tracker.start()
    tracker.ensure_alive()
    assert tracker.finish(1.0) == TrackingStatus(mode="disabled", state="finished")
    assert starts(paths) == 0


def test_the_last_attempts_success_is_not_taken_for_this_ones(paths: RunPaths) -> None:
    write_status(paths, TrackingStatus(mode="offline", state="finished"))
    tracker = TrackerProcess(paths, command=program("sys.exit(7)"))
    tracker.start()
    status = tracker.finish(60.0)
    assert status.state == "failed"
    assert "died 6 times" in (status.error or "")
    assert read_status(paths) == status


def test_a_damaged_status_file_reads_as_none(paths: RunPaths) -> None:
    paths.tracking.mkdir(parents=True)
    paths.tracking_status.write_text('{"mode": ')
    assert read_status(paths) is None
