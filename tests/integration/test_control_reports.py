"""Reports of many trainers at once: kept together, refused one by one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
from control_bench import Bench, lines, metrics, status
from served import wait_for
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from control_api import collector, ingest
from control_api.collector import Collector
from control_api.lifecycle import get_run
from control_api.problems import LostPlace, UnknownRun, WrongOffset
from control_api.reports import read_report
from control_api.tables import RunRow
from midcourse.contract.records import LogRecord, Notice


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def trainers(bench):
    made = [bench.submit() for _ in range(6)]
    for trainer in made:
        trainer.say(trainer.started())
    return made


BEAT = b'{"status":"running","step":41,"epoch":2,"total_steps":100,"steps_per_second":2.5}'


def report(trainer, *records, offset=None, attempt=None, run=None):
    return read_report(
        run or trainer.run,
        trainer.attempt if attempt is None else attempt,
        trainer.offset if offset is None else offset,
        BEAT + b"\n" + lines(*records),
    )


class Gate:
    """Holds the first transaction of a collector until all reports are there."""

    def __init__(self, monkeypatch, of):
        self.made = Collector(of.database)
        self.sizes = []
        self._write_together = self.made._write_together
        monkeypatch.setattr(self.made, "_write_together", self.write_together)
        self._first = threading.Event()
        self._go = threading.Event()
        self.hand_in = self.made.hand_in

    def write_together(self, entries):
        self.sizes.append(len(entries))
        if not self._first.is_set():
            self._first.set()
            assert self._go.wait(20)
        self._write_together(entries)

    def all_at_once(self, first, reports):
        """Hand in one report, and the others while it is being written.

        Returns:
            What became of each, in their order.
        """
        with ThreadPoolExecutor(len(reports) + 1) as threads:
            leader = threads.submit(self.hand_in, first)
            assert self._first.wait(20)
            handed = [threads.submit(self.hand_in, each) for each in reports]
            while len(self.made._waiting) + sum(each.done() for each in handed) < len(reports):
                threading.Event().wait(0.001)
            self._go.set()
            assert leader.result(20) is not None
            return [each.exception(20) or each.result() for each in handed]


@pytest.fixture
def gate(bench, monkeypatch):
    return Gate(monkeypatch, bench)


def test_reports_that_come_meanwhile_share_a_transaction(bench, trainers, gate):
    first, *others = trainers
    commits = []
    ring = bench.database.ring
    bench.database.ring = lambda changed: (commits.append(changed), ring(changed))
    ends = gate.all_at_once(
        report(first, metrics(0, loss=1.0)),
        [report(each, metrics(number, loss=0.5)) for number, each in enumerate(others)],
    )
    assert gate.sizes == [1, len(others)]
    assert len(commits) == 2
    for number, (each, end) in enumerate(zip(others, ends, strict=True)):
        assert end == each.offset + len(lines(metrics(number, loss=0.5)))
        seen = bench.get(f"/runs/{each.run}")
        assert (seen["step"], seen["epoch"], seen["steps_per_second"]) == (41, 2, 2.5)
        assert seen["metrics"] == {"loss": 0.5}
        assert seen["heartbeat_at"] is not None
        assert each.ship(b"", offset=0).json["next_offset"] == end


def test_what_is_refused_is_refused_alone(bench, trainers, gate):
    first, misplaced, late, fine, reverted, _ = trainers
    seen = gate.all_at_once(
        report(first),
        [
            report(misplaced, metrics(0, loss=1.0), offset=7),
            report(late, metrics(0, loss=1.0), attempt=9),
            report(fine, metrics(0, loss=1.0)),
            report(fine, metrics(0, loss=1.0)),  # the same once more: its answer was lost
            report(fine, run="rnobody"),
            report(reverted, status("finished", step=41)),
        ],
    )
    assert isinstance(seen[0], WrongOffset)
    assert seen[0].extensions["next_offset"] == misplaced.offset
    assert isinstance(seen[1], LostPlace)
    assert seen[2] == fine.offset + len(lines(metrics(0, loss=1.0)))
    assert isinstance(seen[3], WrongOffset)
    assert isinstance(seen[4], UnknownRun)
    assert isinstance(seen[5], int)
    assert bench.get(f"/runs/{fine.run}")["metrics"] == {"loss": 1.0}
    assert bench.get(f"/runs/{late.run}")["metrics"] == {}
    assert bench.get(f"/runs/{late.run}")["step"] != 41
    assert bench.get(f"/runs/{misplaced.run}")["step"] != 41
    assert bench.get(f"/runs/{reverted.run}")["status"] == "finished"


@pytest.mark.only_on("postgresql")  # SQLite has one writer at a time
def test_a_run_that_somebody_changes_keeps_no_other_waiting(bench, trainers, gate):
    first, busy, *others = trainers
    reports = [report(each, metrics(0, loss=1.0)) for each in [busy, *others]]
    with ThreadPoolExecutor(1) as threads:
        with bench.database.writing() as session:
            get_run(session, busy.run, for_change=True)
            handed = threads.submit(gate.all_at_once, report(first), reports)
            for each in others:
                wait_for(lambda each=each: bench.get(f"/runs/{each.run}")["metrics"], bool)
            assert not handed.done()
        assert all(isinstance(each, int) for each in handed.result(20))
    assert bench.get(f"/runs/{busy.run}")["metrics"] == {"loss": 1.0}


def test_a_report_that_breaks_the_transaction_takes_no_other_with_it(
    bench, trainers, gate, monkeypatch
):
    first, bad, *others = trainers
    take = collector.take_report

    def take_or_break(session, run, given, now):
        if run.id == bad.run:
            raise ValueError("a fault of ours")
        return take(session, run, given, now)

    monkeypatch.setattr(collector, "take_report", take_or_break)
    seen = gate.all_at_once(
        report(first), [report(each, metrics(0, loss=1.0)) for each in [bad, *others]]
    )
    assert isinstance(seen[0], ValueError)
    assert [bench.get(f"/runs/{each.run}")["metrics"] for each in others] == [
        {"loss": 1.0} for _ in others
    ]
    assert bench.get(f"/runs/{bad.run}")["metrics"] == {}


def test_without_a_database_all_are_told_at_once(bench, trainers, gate, monkeypatch):
    """Trying each alone would have them all wait for one time-out after the other."""
    first, *others = trainers
    tries = []

    def away(*_):
        tries.append(1)
        raise OperationalError("SELECT", {}, Exception("no connection"))

    def lock(session, entries):
        return [] if len(entries) == 1 else away()

    monkeypatch.setattr(collector, "_lock_runs", lock)
    seen = gate.all_at_once(report(first), [report(each) for each in others])
    assert all(isinstance(each, OperationalError) for each in seen)
    assert len(tries) == 1


def test_progress_and_news_of_one_report_are_both_kept(bench, trainers, gate):
    """A notice is no progress: the row is written by the ORM then, with all that has changed."""
    first, told, paused, *_ = trainers
    notice = Notice(at=bench.clock, message="the disk is nearly full")
    beat = BEAT.replace(b"running", b"paused")
    seen = gate.all_at_once(
        report(first),
        [
            report(told, metrics(3, loss=0.25), notice),
            read_report(paused.run, paused.attempt, paused.offset, beat + b"\n"),
        ],
    )
    assert gate.sizes == [1, 2]
    assert all(isinstance(each, int) for each in seen)
    one = bench.get(f"/runs/{told.run}")
    assert (one["notice"], one["step"], one["metrics"]) == (
        "the disk is nearly full",
        41,
        {"loss": 0.25},
    )
    two = bench.get(f"/runs/{paused.run}")
    assert (two["status"], two["step"]) == ("paused", 41)


@pytest.mark.parametrize("escaped", [b"\\u0000", b"\\ud800"], ids=["NUL", "half a pair"])
def test_text_that_no_database_holds_does_not_hold_up_the_log(bench, trainers, escaped):
    trainer = trainers[0]
    notice = lines(Notice(at=bench.clock, message="a|b")).replace(b"|", escaped)
    assert trainer.ship(notice).json["next_offset"] == trainer.offset + len(notice)
    assert bench.get(f"/runs/{trainer.run}")["notice"] == "a\ufffdb"


@pytest.mark.parametrize("escaped", [b"\\u0000", b"\\ud800"], ids=["NUL", "half a pair"])
def test_nor_does_it_hold_up_the_heart(bench, trainers, escaped):
    tracking = b',"tracking":{"mode":"offline","error":"a' + escaped + b'b"}}\n'
    data = BEAT.removesuffix(b"}") + tracking
    answer = trainers[0].link("POST", "report?attempt=1&offset=0", data=data)
    assert answer.status_code == 200, answer.text
    assert bench.get(f"/runs/{trainers[0].run}")["tracking"]["error"] == "a\ufffdb"


def test_a_report_of_a_run_that_waits_for_its_parents_place(bench, trainers):
    parent = trainers[0]
    parent.say(parent.checkpoint("step-9"))
    made = bench.post(f"/runs/{parent.run}/revert", {"checkpoint": "step-9"}, expect=202)
    with bench.database.reading() as session:
        child = session.scalar(select(RunRow.id).where(RunRow.parent_id == parent.run))
    assert made["run"] == parent.run
    early = parent.as_child(child)
    assert early.beat().status_code == 200
    assert early.beat(attempt=7).status_code == 409


@pytest.mark.only_on("sqlite")
def test_every_record_that_a_log_can_have_is_taken():
    """One that is not would keep all that comes after it from being taken, for ever."""
    union, _ = get_args(LogRecord)
    assert set(ingest._HANDLERS) == set(get_args(union))
