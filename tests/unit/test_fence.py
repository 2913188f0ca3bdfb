"""Whoever takes a run over has it; nobody who had it before changes a byte of it."""

import os
from pathlib import Path

import pytest
from tiny_run import command
from tracked_runs import RUN, checkpoint, metrics, put_run, started

from midcourse.checkpoints.store import CheckpointStore
from midcourse.checkpoints.writer import write_checkpoint
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.paths import RunPaths
from midcourse.errors import PlaceLost
from midcourse.fence import Fence, take_over
from midcourse.journal import Journal
from midcourse.runlog import RunLogReader, RunLogWriter
from midcourse.tracking.status import StatusBoard
from midcourse.tracking.tracker import RecordingTracker
from midcourse.tracking.work import Work


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    return paths


def test_the_later_attempt_has_it(paths: RunPaths) -> None:
    first = Fence.take(paths.fence, 1)
    assert first.holds()
    third = Fence.take(paths.fence, 3)
    assert (first.holds(), third.holds()) == (False, True)
    with pytest.raises(PlaceLost, match=f"run {RUN} was taken over by a later attempt"):
        first.check()


def test_an_attempt_that_comes_late_is_refused_and_does_no_harm(paths: RunPaths) -> None:
    second = Fence.take(paths.fence, 2)
    with pytest.raises(PlaceLost):
        Fence.take(paths.fence, 1)
    assert second.holds()


def test_by_hand_without_a_number_the_last_to_come_has_it(paths: RunPaths) -> None:
    launched = Fence.take(paths.fence, 7)
    by_hand = Fence.take(paths.fence, 0)
    again = Fence.take(paths.fence, 0)
    assert [fence.holds() for fence in (launched, by_hand, again)] == [False, False, True]
    assert Fence.take(paths.fence, 8).holds()
    assert not again.holds()


def test_ten_comes_after_nine(paths: RunPaths) -> None:
    fences = [Fence.take(paths.fence, attempt) for attempt in range(8, 12)]
    assert [fence.holds() for fence in fences] == [False, False, False, True]
    assert [path.name for path in paths.fence.iterdir()] == [fences[-1].name]


def test_a_log_that_was_taken_over_gets_no_line_more(paths: RunPaths) -> None:
    old = RunLogWriter(paths.run_log, take_over(paths, 1))
    lost: list[str] = []
    old.on_lost = lambda: lost.append("lost")
    old.append(started())
    assert old.flush()
    new = RunLogWriter(paths.run_log, take_over(paths, 2))
    new.append(metrics(0))
    assert new.flush()
    held = paths.run_log.read_bytes()
    old.append(metrics(1))
    assert not old.flush()
    old.close()
    assert lost == ["lost"]
    assert paths.run_log.read_bytes() == held
    assert len(RunLogReader(paths.run_log).read()) == 2
    new.close()


def test_a_write_that_was_under_way_does_not_land_in_the_successors_log(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one has looked, is held up, and writes when the new one has begun."""
    old = RunLogWriter(paths.run_log, take_over(paths, 1))
    old.append(started())
    old.flush()
    pwrite, held = os.pwrite, []

    def held_up(file: int, data: bytes, offset: int) -> int:
        monkeypatch.setattr(os, "pwrite", pwrite)
        new = RunLogWriter(paths.run_log, take_over(paths, 2))
        new.append(metrics(0))
        new.close()
        held.append(paths.run_log.read_bytes())
        return pwrite(file, data, offset)

    monkeypatch.setattr(os, "pwrite", held_up)
    old.append(metrics(5))
    old.close()
    assert held == [paths.run_log.read_bytes()]


def test_a_journal_that_was_taken_over_gets_no_line_more(paths: RunPaths) -> None:
    old = Journal(paths.journal, take_over(paths, 1))
    old.intend(3, command(1, "pause", RUN))
    late = Journal(paths.journal, Fence(paths.fence, old._fence.name))  # type: ignore[union-attr]
    new = Journal(paths.journal, take_over(paths, 2))
    new.intend(4, command(2, "pause", RUN))
    held = paths.journal.read_bytes()
    for journal in (old, late):  # the one has the file open, the other has not opened it yet
        with pytest.raises(PlaceLost):
            journal.intend(5, command(3, "pause", RUN))
        journal.close()
    assert paths.journal.read_bytes() == held
    new.close()


@pytest.mark.parametrize("moment", ["before it begins", "while it writes", "before the name"])
def test_a_checkpoint_of_one_who_lost_the_run_never_gets_its_name(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    fence = take_over(paths, 1)
    paths.run_log.touch()
    manifest = Manifest(
        checkpoint=checkpoint(9).checkpoint,
        attempt=1,
        journal_position=0,
        edits=0,
        cursor={},
        parameters={},
        versions={},
        files={},
    )
    folder = paths.checkpoint("step-9")

    def take_it() -> None:
        take_over(paths, 2)
        CheckpointStore(paths).tidy()

    if moment == "before it begins":
        take_it()
    else:
        owner, name = (Path, "rename") if moment == "before the name" else (os, "fsync")
        real = getattr(owner, name)

        def held_up(*arguments: object) -> object:
            monkeypatch.setattr(owner, name, real)
            take_it()
            return real(*arguments)

        monkeypatch.setattr(owner, name, held_up)
    with pytest.raises((PlaceLost, OSError)):
        write_checkpoint(folder, memoryview(b"state"), 3, manifest, paths.run_log, fence)
    assert not folder.exists()
    assert list(paths.checkpoints.glob(".*")) == []


def test_a_half_made_takeover_is_overtaken(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is held up while it takes the run over itself."""
    paths.run_log.write_bytes(b"")
    replace = Path.replace

    def held_up(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        new = RunLogWriter(paths.run_log, take_over(paths, 2))
        new.append(started(attempt=2))
        new.close()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", held_up)
    with pytest.raises(PlaceLost):
        take_over(paths, 1)
    [record] = RunLogReader(paths.run_log).read()
    assert record.attempt == 2  # type: ignore[union-attr]


def test_two_trackers_of_a_run_send_nothing_twice(paths: RunPaths) -> None:
    log = RunLogWriter(paths.run_log)
    log.append(started(), metrics(0, loss=1.0), metrics(1, loss=1.0))
    log.flush()
    first, second = RecordingTracker(), RecordingTracker()

    def look(tracker: RecordingTracker, fence: Fence, alive: list[bool]) -> Work:
        board = StatusBoard(paths, "offline")
        return Work(
            paths, board, lambda _: tracker, lambda: alive.pop(0) if alive else False, fence=fence
        )

    old = look(first, Fence.take(paths.tracking / "fence", 0), [True])
    old._reading.take_new()
    sent = len(first.rows)
    new = look(second, Fence.take(paths.tracking / "fence", 0), [True])
    log.append(metrics(2, loss=1.0), metrics(3, loss=1.0))
    log.close()
    with pytest.raises(PlaceLost):
        old.run()
    assert len(first.rows) == sent
    assert first.status is None  # nor did it say goodbye
    new.run()
    assert [row.step for row in second.rows] == [0, 1, 2, 3]
