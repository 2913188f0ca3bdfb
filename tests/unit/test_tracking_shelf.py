"""Which checkpoints are published, and what becomes of them when retention lets go."""

from pathlib import Path

import pytest
from tracked_runs import RUN, checkpoint, put_checkpoint

from midcourse.contract.checkpoints import CheckpointReason
from midcourse.contract.paths import RunPaths
from midcourse.tracking.publisher import Publisher
from midcourse.tracking.shelf import Shelf
from midcourse.tracking.tracker import RecordingTracker


class Bench:
    """A run with checkpoints on disk, and its tracker."""

    def __init__(self, home: Path) -> None:
        self.paths = RunPaths(home, RUN)
        self.pinned: set[str] = set()
        self.shelf = Shelf(self.pinned.__contains__)
        self.tracker = RecordingTracker()
        self.notes: list[str] = []
        self.publisher = Publisher(self.paths, self.shelf, self.tracker, self.notes.append)

    def write(self, step: int, *, best: bool = False, **how: CheckpointReason) -> None:
        written = checkpoint(step, best=best, **how)
        put_checkpoint(self.paths, written)
        self.shelf.written(written.checkpoint)

    def published(self) -> list[tuple[str, ...]]:
        return [aliases for _, _, aliases in self.tracker.checkpoints]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_while_it_trains_the_best_is_published_and_what_forks_began_with(bench: Bench) -> None:
    bench.write(-1, reason=CheckpointReason.INITIAL)
    bench.write(10, best=True)
    bench.write(20)
    bench.publisher.look()
    bench.publisher.look()
    assert bench.published() == [("step-10", "best")]
    bench.pinned.add("step-20")
    bench.publisher.look()
    bench.write(30, best=True)
    for _ in range(3):
        bench.publisher.look()
    assert bench.published()[1:] == [("step-20",), ("step-30", "best")]


def test_the_initial_checkpoint_is_published_for_whoever_began_with_it(bench: Bench) -> None:
    bench.write(-1, reason=CheckpointReason.INITIAL)
    bench.publisher.look()
    assert bench.published() == []
    bench.pinned.add("initial")
    bench.publisher.look()
    assert bench.published() == [("initial",)]


def test_what_retention_deletes_is_let_go(bench: Bench) -> None:
    bench.write(10, best=True)
    bench.publisher.look()
    bench.write(20, best=True)
    bench.shelf.deleted("step-10")
    bench.publisher.look()
    bench.publisher.look()
    bench.publisher.look()
    assert bench.tracker.retired == ["step-10"]


def test_the_last_one_is_published_last_at_the_end(bench: Bench) -> None:
    bench.write(10, best=True)
    bench.write(20)
    bench.pinned.add("step-20")
    bench.publisher.look()
    bench.publisher.look()
    bench.write(30)
    assert bench.publisher.finish(lambda: None) == ["step-10", "step-20", "step-30"]
    assert bench.published()[-1] == ("step-30", "latest")


def test_one_that_is_both_best_and_last_stands_once(bench: Bench) -> None:
    bench.write(10, best=True)
    assert bench.publisher.finish(lambda: None) == ["step-10"]
    assert bench.published() == [("step-10", "best", "latest")]


def test_what_an_earlier_tracker_published_is_not_published_again_while_it_trains(
    bench: Bench,
) -> None:
    bench.tracker.there = {"step-10": ["step-10", "best", "latest"]}
    publisher = Publisher(bench.paths, bench.shelf, bench.tracker, bench.notes.append)
    bench.write(10, best=True)
    publisher.look()
    assert publisher.finish(lambda: None) == ["step-10"]
    assert bench.published() == []
    bench.write(20)
    publisher.finish(lambda: None)
    assert bench.published() == [("step-20", "latest")]
    assert bench.tracker.named == []


def test_what_was_published_while_it_trained_is_left_alone_at_the_end(bench: Bench) -> None:
    bench.write(10, best=True)
    bench.publisher.look()
    bench.write(20)
    assert bench.publisher.finish(lambda: None) == ["step-10", "step-20"]
    assert bench.published() == [("step-10", "best"), ("step-20", "latest")]


def test_what_is_there_already_is_given_its_new_aliases_and_not_uploaded_again(
    bench: Bench,
) -> None:
    bench.write(10, best=True)
    bench.publisher.look()
    assert bench.publisher.finish(lambda: None) == ["step-10"]
    assert bench.published() == [("step-10", "best")]
    assert bench.tracker.named == [("step-10", ("step-10", "best", "latest"))]


def test_an_earlier_one_is_the_best_again_when_the_best_is_deleted(bench: Bench) -> None:
    for step in (10, 20):
        bench.write(step, best=True)
        bench.publisher.look()
    bench.shelf.deleted("step-20")
    for _ in range(2):
        bench.publisher.look()
    assert bench.published() == [("step-10", "best"), ("step-20", "best")]
    assert bench.tracker.named == [("step-10", ("step-10", "best"))]
    assert bench.tracker.retired == ["step-20"]


def test_one_that_is_not_whole_keeps_no_other_from_being_published(bench: Bench) -> None:
    bench.shelf.written(checkpoint(10).checkpoint)
    bench.pinned.add("step-10")
    bench.write(20, best=True)
    for _ in range(2):
        bench.publisher.look()
    assert bench.published() == [("step-20", "best")]
    assert bench.publisher.finish(lambda: None) == ["step-20"]


def test_one_that_vanished_is_told_and_the_others_are_kept(bench: Bench) -> None:
    bench.shelf.written(checkpoint(10, best=True).checkpoint)
    bench.write(20)
    assert bench.publisher.finish(lambda: None) == ["step-20"]
    assert bench.notes == [
        "checkpoint step-10 is not kept: [Errno 2] No such file or directory: "
        f"'{bench.paths.checkpoint('step-10') / 'manifest.json'}'"
    ]
