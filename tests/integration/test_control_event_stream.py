"""Streams of events: what is sent, where one goes on, and what is told of what is gone."""

import json
import threading
from datetime import timedelta
from itertools import islice

import pytest
from control_bench import NOW, Bench, metrics, status
from sqlalchemy import func, select

from control_api import chores, event_stream, metric_store
from control_api.chores import Chores, prune_events
from control_api.event_stream import EventStream, Wanted
from control_api.tables import EventRow, MetricBatchRow, RunRow
from midcourse.contract.base import utc_now


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "home")
    yield bench
    bench.database.bell.silence()
    bench.close()


class Frames:
    """Events of a stream, as a client reads them."""

    def __init__(self, lines):
        self._pieces = iter(lines)

    def __next__(self):
        while True:
            piece = next(self._pieces)
            text = piece.decode() if isinstance(piece, bytes) else piece
            fields = dict(line.split(": ", 1) for line in text.splitlines() if line[:1] not in ":")
            if "data" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])

    def take(self, count):
        return [next(self) for _ in range(count)]


def ask(bench, path, **headers):
    answer = bench.ask("GET", path, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    return Frames(answer.iter_encoded())


def add_events(bench, count, *, at=None, run=None, kind="run.changed"):
    with bench.database.writing() as session:
        session.add_all(
            EventRow(at=at or utc_now(), kind=kind, run_id=run, data={"number": number})
            for number in range(count)
        )


def newest(bench):
    with bench.database.reading() as session:
        return session.scalar(select(func.max(EventRow.id))) or 0


def kept(bench):
    with bench.database.reading() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.id))
        return [(row.id, row.kind) for row in rows]


def test_a_run_is_told_from_its_beginning(bench):
    trainer, other = bench.submit(), bench.submit()
    trainer.say(trainer.started(), status("paused", step=3))
    frames = ask(bench, f"/runs/{trainer.run}/events?after=0&kinds=run.created,run.status")
    numbers, kinds, said = zip(*frames.take(3), strict=True)
    assert kinds == ("run.created", "run.status", "run.status")
    assert {each["run"] for each in said} == {trainer.run} != {other.run}
    assert [each["details"] for each in said] == [
        {"experiment": "default", "parent": None},
        {"status": "starting", "step": None},
        {"status": "paused", "step": 3},
    ]
    assert sorted(set(numbers)) == list(numbers)


def test_without_a_place_to_begin_it_is_told_what_happens_from_now_on(bench):
    trainer = bench.submit()
    frames = ask(bench, f"/runs/{trainer.run}/events")
    next(frames._pieces)  # it has begun
    trainer.say(trainer.started())
    assert next(frames)[1:] == (
        "run.status",
        {"run": trainer.run, "at": said_at(bench), "details": {"status": "running", "step": None}},
    )


def said_at(bench):
    with bench.database.reading() as session:
        query = select(EventRow.at).where(EventRow.kind == "run.status").order_by(EventRow.id)
        at = session.scalars(query).all()[-1]
    return at.isoformat().replace("+00:00", "Z")


def test_an_experiment_is_told_without_the_others(bench):
    one = bench.post("/runs", {"config": {}, "experiment": "one"}, expect=201)["id"]
    two = bench.post("/runs", {"config": {}, "experiment": "two"}, expect=201)["id"]
    frames = ask(bench, "/events?experiment=two&after=0")
    assert next(frames)[2]["run"] == two
    bench.post(f"/runs/{one}/stop", expect=202)
    bench.post(f"/runs/{two}/stop", expect=202)
    assert {said["run"] for _, _, said in frames.take(2)} == {two}


@pytest.mark.parametrize("how", ["header", "query", "both"])
def test_who_comes_back_is_sent_what_it_missed_and_nothing_twice(bench, how):
    trainer = bench.submit()
    first = ask(bench, "/events?after=0").take(2)
    last = str(first[-1][0])
    for step in range(3):
        trainer.say(status("paused" if step % 2 else "running", step=step))
    if how == "query":
        frames = ask(bench, f"/events?after={last}")
    else:
        path = "/events" if how == "header" else "/events?after=0"
        frames = ask(bench, path, **{"Last-Event-ID": last})
    total = newest(bench)
    rest = frames.take(total - first[-1][0])
    assert [number for number, _, _ in first + rest] == list(range(1, total + 1))


def test_a_long_history_is_fetched_in_portions(bench, monkeypatch):
    monkeypatch.setattr(event_stream, "AT_ONCE", 7)
    add_events(bench, 100)
    stream = EventStream(bench.database, Wanted(), 0)
    fetched = []
    following = stream._next
    monkeypatch.setattr(stream, "_next", lambda: fetched.append(1) or following())
    frames = Frames(stream)
    assert [number for number, _, _ in frames.take(20)] == list(range(1, 21))
    assert len(fetched) == 3  # only as many as were taken
    assert [number for number, _, _ in frames.take(80)] == list(range(21, 101))


def test_what_is_passed_over_is_not_looked_at_again(bench):
    run = bench.submit().run
    add_events(bench, 50)
    stream = EventStream(bench.database, Wanted(run_id=run, kinds=("command",)), 0)
    assert stream._next() == []
    assert stream._last == newest(bench)


def test_no_connection_waits_with_a_stream(bench):
    frames = ask(bench, "/events?after=0")
    bench.submit()
    next(frames)
    assert bench.database.engine.pool.checkedout() == 0


def test_silence_is_broken_now_and_then(bench):
    now = [0.0]

    class Bell(type(bench.database.bell)):
        def wait(self, key, heard, seconds):
            waited.append(seconds)
            now[0] += seconds

    waited = []
    bench.database.bell = Bell(look_seconds=10.0)
    stream = EventStream(bench.database, Wanted(), None, clock=lambda: now[0])
    begin, *silence = islice(stream, 3)
    assert begin == "retry: 1000\n\n"
    assert silence == [": still here\n\n"] * 2
    assert waited == [10.0, 5.0, 10.0, 5.0]


def test_it_ends_when_the_process_does(bench):
    stream = EventStream(bench.database, Wanted(), None)
    pieces = []
    reader = threading.Thread(target=lambda: pieces.extend(stream))
    reader.start()
    bench.database.bell.silence()
    reader.join(20)
    assert not reader.is_alive()
    assert pieces == ["retry: 1000\n\n"]


@pytest.mark.parametrize(
    ("path", "headers", "status_code", "message"),
    [
        ("/runs/rnothere/events", {}, 404, "There is no run 'rnothere'"),
        ("/events?kinds=run.status,riddle", {}, 422, "there is no kind 'riddle'; there are: run."),
        ("/events", {"Last-Event-ID": "first"}, 422, "must be the id of an event"),
        ("/events", {"Last-Event-ID": "9" * 30}, 422, "must be the id of an event"),
        ("/events?after=-1", {}, 422, "after"),
        ("/events?experiment=no+such+name!", {}, 422, "experiment"),
    ],
)
def test_what_cannot_be_streamed_is_a_problem(bench, path, headers, status_code, message):
    answer = bench.ask("GET", path, headers=headers)
    assert answer.status_code == status_code
    assert answer.content_type == "application/problem+json"
    assert message in answer.text


# -- what is no longer kept


def test_old_events_go_and_a_gap_says_so(bench):
    add_events(bench, 5, at=NOW)
    add_events(bench, 2)
    with bench.database.writing() as session:
        assert prune_events(session, utc_now(), timedelta(days=30)) == 4
    assert kept(bench) == [(5, "gap"), (6, "run.changed"), (7, "run.changed")]
    for after, kinds in ((0, ["gap"]), (4, ["gap"]), (5, []), (6, [])):
        stream = EventStream(bench.database, Wanted(run_id="ra"), after)
        assert [row.kind for row in stream._next()] == kinds  # a filter does not hide it
    with bench.database.writing() as session:
        assert prune_events(session, utc_now(), timedelta(days=30)) == 0
    assert kept(bench)[0] == (5, "gap")
    with bench.database.writing() as session:
        assert prune_events(session, utc_now() + timedelta(days=31), timedelta(days=30)) == 2
    assert kept(bench) == [(7, "gap")]
    add_events(bench, 1)
    assert newest(bench) == 8  # numbers go on


def test_a_reader_that_is_overtaken_by_the_pruning_is_told(bench, monkeypatch):
    monkeypatch.setattr(event_stream, "AT_ONCE", 2)
    add_events(bench, 10, at=NOW)
    frames = Frames(EventStream(bench.database, Wanted(), 0))
    assert [number for number, _, _ in frames.take(2)] == [1, 2]
    with bench.database.writing() as session:
        prune_events(session, utc_now(), timedelta(days=30))
    assert next(frames)[:2] == (10, "gap")


def test_a_number_from_another_database_is_a_gap(bench):
    add_events(bench, 3)
    frames = Frames(EventStream(bench.database, Wanted(), 1000))
    assert next(frames)[:2] == (3, "gap")
    add_events(bench, 1)
    assert next(frames)[0] == 4


def test_the_reconciler_prunes_a_part_at_a_time(bench, monkeypatch):
    monkeypatch.setattr(chores, "EVENTS_AT_ONCE", 10)
    add_events(bench, 25, at=NOW)
    counts = []
    for _ in range(4):
        bench.round()
        counts.append(len(kept(bench)))
    assert counts == [16, 7, 1, 1]
    add_events(bench, 5, at=NOW)
    bench.round()
    assert len(kept(bench)) == 6  # not every round
    bench.round(later=61)
    assert kept(bench) == [(30, "gap")]


def test_numbers_of_a_run_that_was_killed_are_folded_by_the_way(bench, monkeypatch):
    monkeypatch.setattr(metric_store, "HOT_BYTES", 2**40)  # not on their way in
    trainer = bench.submit()
    trainer.say(trainer.started(), metrics(0, loss=1.0))
    with bench.database.writing() as session:
        assert session.scalar(select(func.count()).select_from(MetricBatchRow)) == 1
        Chores(timedelta(days=1)).do(session, utc_now())
        assert session.scalar(select(func.count()).select_from(MetricBatchRow)) == 1  # it lives
        session.get(RunRow, trainer.run).status = "failed"
        session.flush()
        Chores(timedelta(days=1)).do(session, utc_now())
        assert session.scalar(select(func.count()).select_from(MetricBatchRow)) == 0
    assert bench.get(f"/runs/{trainer.run}/metrics")["metrics"]["loss"]["values"] == [1.0]


def test_a_stream_that_is_not_followed_ends_with_the_newest_of_now(bench):
    bench.submit()
    stream = iter(EventStream(bench.database, Wanted(), 0, follow=False))
    assert next(stream).startswith("retry:")
    first = next(stream)
    bench.submit()  # happens while it is told what had happened before
    rest = list(stream)
    told = bench.get("/runs")["total"]
    assert told == 2
    assert sum("run.created" in frame for frame in [first, *rest]) == 1
    assert list(EventStream(bench.database, Wanted(), None, follow=False))[1:] == []
