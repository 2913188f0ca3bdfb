"""The tracker's work on a log that grows, ends, tears, or goes on under another trainer."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tracked_runs import RUN, checkpoint, lr_set, metrics, put_checkpoint, put_run, started, status

from midcourse.contract.base import Record
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunStatus
from midcourse.journal import Journal
from midcourse.replay.file import parse_journal
from midcourse.runlog import RunLogWriter
from midcourse.tracking.lock import AnotherTracker, sole_tracker
from midcourse.tracking.status import StatusBoard, read_status
from midcourse.tracking.tracker import RecordingTracker
from midcourse.tracking.work import Work


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    return paths


def write(paths: RunPaths, *records: Record) -> int:
    """Append records; the log's size after."""
    log = RunLogWriter(paths.run_log)
    log.append(*records)
    log.close()
    return log.size


def work(
    paths: RunPaths, trainer_is_alive: Callable[[], bool] = lambda: False, begin: int = 0
) -> RecordingTracker:
    """Do the work to its end; `trainer_is_alive` is asked before each look at the log."""
    tracker = RecordingTracker()
    board = StatusBoard(paths, "offline")
    Work(paths, board, lambda _: tracker, trainer_is_alive, begin=begin).run()
    return tracker


def steps(tracker: RecordingTracker) -> list[int]:
    return [row.step for row in tracker.rows]


class Trainer:
    """Does the next thing each time it is asked whether it lives; dead when all is done."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self.acts = list(acts)

    def __call__(self) -> bool:
        if not self.acts:
            return False
        self.acts.pop(0)()
        return True


def test_it_ends_when_the_run_has_ended_and_the_log_is_read(paths: RunPaths) -> None:
    size = write(
        paths, started(), metrics(0, a=1.0), metrics(1, a=1.0), status(RunStatus.STOPPED, 1)
    )
    tracker = work(paths, trainer_is_alive=lambda: True)
    assert steps(tracker) == [0, 1]
    assert tracker.status is RunStatus.STOPPED
    assert tracker.is_whole
    told = read_status(paths)
    assert told is not None
    assert (told.state, told.log_offset, told.error) == ("finished", size, None)


def test_the_end_of_an_earlier_attempt_is_not_the_end_of_this_one(paths: RunPaths) -> None:
    begin = write(paths, started(), metrics(0, a=1.0), status(RunStatus.INTERRUPTED, 0))
    trainer = Trainer(
        lambda: None,
        lambda: write(paths, started(next_step=1, attempt=2), metrics(1, a=1.0)),
        lambda: write(paths, status(RunStatus.FINISHED, 1)),
        lambda: None,
        lambda: pytest.fail("the run had ended"),
    )
    tracker = work(paths, trainer, begin)
    assert steps(tracker) == [0, 1]
    assert tracker.status is RunStatus.FINISHED


def test_when_the_trainer_dies_all_that_it_wrote_is_shown(paths: RunPaths) -> None:
    trainer = Trainer(lambda: write(paths, started(), metrics(0, a=1.0)))
    write_last = lambda: write(paths, metrics(1, a=1.0), metrics(2, a=1.0))  # noqa: E731
    trainer.acts.append(write_last)
    tracker = work(paths, trainer)
    assert steps(tracker) == [0, 1, 2]
    assert tracker.status is RunStatus.INTERRUPTED
    assert tracker.summary["midcourse/status"] == "interrupted"


def test_a_line_that_was_being_written_is_left_for_later(paths: RunPaths) -> None:
    write(paths, started(), metrics(0, a=1.0))
    with paths.run_log.open("ab") as log:
        log.write(metrics(1, a=1.0).to_json().encode()[:20])
    assert steps(work(paths)) == [0]


def test_a_damaged_line_is_told_and_passed_by(paths: RunPaths) -> None:
    write(paths, started(), metrics(0, a=1.0))
    with paths.run_log.open("ab") as log:
        log.write(b'{"type":"metrics"\n')
    write(paths, metrics(1, a=1.0), status(RunStatus.FINISHED, 1))
    assert steps(work(paths)) == [0, 1]
    told = read_status(paths)
    assert told is not None
    assert "damaged line at byte" in (told.error or "")


def test_kept_checkpoints_are_whole_and_vanished_ones_are_told(paths: RunPaths) -> None:
    best, last = checkpoint(1, best=True), checkpoint(3)
    put_checkpoint(paths, last)
    write(paths, started(), metrics(3, a=1.0), best, last, status(RunStatus.FINISHED, 3))
    tracker = work(paths)
    [(record, folder, aliases)] = tracker.checkpoints
    shutil.rmtree(paths.checkpoints)
    assert (record.step, aliases) == (3, ("step-3", "latest"))
    assert (folder / "state.safetensors").exists()
    told = read_status(paths)
    assert told is not None
    assert "step-1 is not kept" in (told.error or "")
    assert told.state == "finished"


def test_a_run_that_never_took_a_step_ends_cleanly(paths: RunPaths) -> None:
    tracker = work(paths)
    assert tracker.rows == []
    assert tracker.status is None


def test_two_trackers_of_a_run_never_work_together(paths: RunPaths) -> None:
    asked = []

    def ask_twice() -> bool:
        asked.append(True)
        return len(asked) < 2

    with (
        sole_tracker(paths, lambda: True),
        pytest.raises(AnotherTracker, match="another tracker"),
        sole_tracker(paths, ask_twice),
    ):
        pytest.fail("two trackers")
    assert len(asked) == 2
    with sole_tracker(paths, lambda: False):
        pass


def test_the_journal_is_kept_with_what_each_command_did_and_why(paths: RunPaths) -> None:
    journal = Journal(paths.journal)
    acted = lr_set(1, 0, 0.1, 0.01)
    journal.conclude(journal.intend(0, acted.command), acted.receipt)
    journal.close()
    write(paths, started(), metrics(0, a=1.0), acted, status(RunStatus.INTERRUPTED, 0))
    tracker = work(paths)
    [(header, lines)] = tracker.journals
    assert (header.run, header.status, header.last_step) == (RUN, RunStatus.INTERRUPTED, 0)
    [command] = parse_journal(lines, "it").commands
    assert (command.actor, command.step, command.reason) == ("ada", 0, "it diverges")
    assert (command.before, command.after) == ({"optimizer.lr": 0.1}, {"optimizer.lr": 0.01})
    told = read_status(paths)
    assert told is not None
    assert told.error is None


def test_a_journal_that_cannot_be_kept_is_told_and_the_rest_is_shown(paths: RunPaths) -> None:
    write(paths, started(), metrics(0, a=1.0), status(RunStatus.FINISHED, 0))
    paths.journal.write_text("{}\n")
    tracker = work(paths)
    assert tracker.journals == []
    assert steps(tracker) == [0]
    assert tracker.status is RunStatus.FINISHED
    assert f"the journal is not kept: line 1 of {paths.journal} is damaged" in str(
        read_status(paths)
    )
