"""The tracker's work on a log that grows, ends, tears, or goes on under another trainer."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tracked_runs import (
    RUN,
    checkpoint,
    lr_set,
    metrics,
    put_checkpoint,
    put_run,
    started,
    status,
    write,
)

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunLabels, RunStatus, TrackingStatus
from midcourse.journal import Journal
from midcourse.replay.file import parse_journal
from midcourse.tracking import work as work_module
from midcourse.tracking.lock import AnotherTracker, sole_tracker
from midcourse.tracking.missing import Expected, Missing
from midcourse.tracking.status import StatusBoard, read_status
from midcourse.tracking.tracker import RecordingTracker, Row
from midcourse.tracking.work import LONGEST_RETRY_SECONDS, Work


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    return paths


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


class Losing(RecordingTracker):
    """A tracker to whose server only the first rows come; `again` begins where it broke off."""

    def __init__(self, first_position: int = 0, *, arrive: int = 1000) -> None:
        super().__init__(first_position)
        self.arrive = arrive
        self.online = True
        self.stuck = False
        self.left_for_another = False
        self.cannot_ask = False

    def is_stuck(self, position: int | None) -> bool:
        return self.stuck

    def leave(self) -> None:
        self.left_for_another = True

    def missing(self, expected: Expected) -> Missing:
        if self.cannot_ask:
            raise ConnectionError("no server")
        if not self.online:
            return Missing(rows=expected.rows, offline=True)
        assert expected.last_position is not None
        return Missing(rows=max(0, expected.last_position + 1 - self.arrive))


class Server:
    """Hands out trackers one after the other, as it goes."""

    def __init__(self, paths: RunPaths, *trackers: RecordingTracker) -> None:
        self.waiting = list(trackers)
        self.paths = paths
        self.clock = 0.0
        self.is_there = False

    def work(self, *acts: Callable[[], object]) -> TrackingStatus:
        Work(
            self.paths,
            StatusBoard(self.paths, "online"),
            lambda _: self.waiting.pop(0),
            Trainer(*acts),
            could_be_online=lambda: self.is_there,
            wants_online=True,
            clock=lambda: self.clock,
        ).run()
        told = read_status(self.paths)
        assert told is not None
        return told


def finished_run(paths: RunPaths) -> None:
    write(paths, started(), *(metrics(step, a=1.0) for step in range(5)))
    write(paths, status(RunStatus.FINISHED, 4))


def test_what_did_not_arrive_is_sent_again_from_the_log(paths: RunPaths) -> None:
    finished_run(paths)
    first, second = Losing(arrive=2), Losing(first_position=2)
    told = Server(paths, first, second).work()
    assert (told.state, told.left) == ("finished", 0)
    assert steps(first) == [0, 1, 2, 3, 4]
    assert steps(second) == [2, 3, 4]
    assert "W&B had not got everything: 3 rows" in (told.error or "")


def test_what_does_not_arrive_after_all_is_counted(paths: RunPaths) -> None:
    finished_run(paths)
    told = Server(paths, *(Losing(arrive=2) for _ in range(3))).work()
    assert (told.state, told.left) == ("behind", 3)


def test_a_server_that_cannot_be_asked_leaves_the_run_behind(paths: RunPaths) -> None:
    finished_run(paths)
    tracker = Losing()
    tracker.cannot_ask = True
    told = Server(paths, tracker).work()
    assert (told.state, told.left) == ("behind", None)
    assert "whether W&B has everything is not known: no server" in (told.error or "")


def test_one_that_had_to_go_offline_is_behind_with_all_its_rows(paths: RunPaths) -> None:
    finished_run(paths)
    tracker = Losing()
    tracker.online = False
    told = Server(paths, tracker).work()
    assert (told.state, told.left) == ("behind", 5)


def test_one_that_had_to_go_offline_is_sent_at_the_end_where_the_server_is_back(
    paths: RunPaths,
) -> None:
    finished_run(paths)
    offline, online = Losing(), Losing()
    offline.online = False
    server = Server(paths, offline, online)
    server.is_there = True
    told = server.work()
    assert (told.state, told.left) == ("finished", 0)
    assert steps(online) == [0, 1, 2, 3, 4]


def test_one_that_had_to_go_offline_goes_online_once_the_server_is_back(paths: RunPaths) -> None:
    offline, online = Losing(), Losing()
    offline.online, online.publishes_live = False, True
    server = Server(paths, offline, online)

    def pass_time(is_there: bool) -> None:
        server.clock += LONGEST_RETRY_SECONDS
        server.is_there = is_there

    server.work(
        lambda: write(paths, started(), metrics(0, a=1.0), metrics(1, a=1.0)),
        lambda: None,
        lambda: pass_time(False),
        lambda: pytest.fail("left too early") if offline.left_for_another else None,
        lambda: pass_time(True),
        lambda: None,
        lambda: write(paths, metrics(2, a=1.0), status(RunStatus.FINISHED, 2)),
    )
    assert offline.left_for_another
    assert steps(online) == [0, 1, 2]


def test_a_stuck_tracker_is_replaced_while_the_run_goes_on(paths: RunPaths) -> None:
    first, second = Losing(), Losing(first_position=1)
    told = Server(paths, first, second).work(
        lambda: write(paths, started(), metrics(0, a=1.0), metrics(1, a=1.0)),
        lambda: setattr(first, "stuck", True),
        lambda: None,
        lambda: write(paths, metrics(2, a=1.0), status(RunStatus.FINISHED, 2)),
    )
    assert first.left_for_another
    assert first.status is None
    assert steps(second) == [1, 2]
    assert told.state == "finished"


def test_labels_are_shown_when_they_change(paths: RunPaths) -> None:
    tracker = RecordingTracker()
    labels = RunLabels(name="first", tags=["a"], notes="look")
    Work(
        paths,
        StatusBoard(paths, "online"),
        lambda _: tracker,
        Trainer(
            lambda: write(paths, started(), metrics(0, a=1.0)),
            lambda: paths.labels.write_text(labels.to_json()),
            lambda: None,
        ),
    ).run()
    assert tracker.labels == labels


def test_a_tracker_that_cannot_let_go_while_the_run_goes_on_is_started_again(
    paths: RunPaths,
) -> None:
    """To give up is for the end: whoever gives up is not started again."""
    ended: list[str] = []
    over = threading.Event()

    class Hanging(Losing):
        def leave(self) -> None:
            assert over.wait(60.0), "nobody ends the process"

    stuck = Hanging()
    stuck.stuck = True
    Work(
        paths,
        StatusBoard(paths, "online"),
        lambda _: stuck if not ended else RecordingTracker(),
        Trainer(
            lambda: write(paths, started(), metrics(0, a=1.0), metrics(1, a=1.0)),
            lambda: None,
        ),
        give_up=lambda: ended.append("gave up"),
        start_over=lambda: (ended.append("started over"), over.set()),  # type: ignore[arg-type, func-returns-value]
        finish_seconds=0.05,
    ).run()
    assert ended[0] == "started over"


def test_an_errand_that_was_not_done_leaves_the_run_behind_and_no_row_is_sent_again(
    paths: RunPaths,
) -> None:
    class Unlinked(Losing):
        def missing(self, expected: Expected) -> Missing:
            return Missing(errands=["data set digits not linked as used"])

    finished_run(paths)
    told = Server(paths, Unlinked()).work()
    assert (told.state, told.left) == ("behind", 0)


def test_the_newest_step_of_a_later_attempt_is_left_to_its_own_tracker(paths: RunPaths) -> None:
    """It may be in the middle of it, and a row that was sent cannot be added to."""
    write(paths, started(), metrics(0, a=1.0), started(next_step=1, attempt=2), metrics(1, a=1.0))
    tracker = RecordingTracker()
    board = StatusBoard(paths, "online")
    Work(paths, board, lambda _: tracker, lambda: False, run_is_live=lambda: True).run()
    assert steps(tracker) == [0]
    assert tracker.status is RunStatus.INTERRUPTED


def test_what_is_appended_while_it_finishes_is_left_to_a_later_tracker(paths: RunPaths) -> None:
    finished_run(paths)

    class Slow(Losing):
        def missing(self, expected: Expected) -> Missing:
            if self.arrive == 2:
                write(paths, started(next_step=5, attempt=2), metrics(5, a=1.0), metrics(6, a=1.0))
            return super().missing(expected)

    first, second = Slow(arrive=2), Losing(first_position=2)
    Server(paths, first, second).work()
    assert steps(second) == [2, 3, 4]


def test_a_tracker_that_waits_for_a_lost_server_is_given_up_after_the_end_of_the_run(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the run has ended stands in the log, behind the row that waits."""
    monkeypatch.setattr(work_module, "WATCH_SECONDS", 0.01)
    is_live, given_up = threading.Event(), threading.Event()
    is_live.set()

    class Waiting(RecordingTracker):
        def log(self, row: Row) -> None:
            super().log(row)
            is_live.clear()
            assert given_up.wait(60.0), "nobody ends the process"

    write(paths, started(), metrics(0, a=1.0), metrics(1, a=1.0))
    Work(
        paths,
        StatusBoard(paths, "online"),
        lambda _: Waiting(),
        Trainer(lambda: None, lambda: None),
        run_is_live=is_live.is_set,
        give_up=given_up.set,
        finish_seconds=0.05,
    ).run()
    assert given_up.is_set()
