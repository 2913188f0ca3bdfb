"""What one process changes wakes those who wait in another."""

import threading
import time

import pytest
from databases import database_url
from sqlalchemy import text

from control_api.bell import EVENTS, RECONCILER, Bell, run_key
from control_api.database import Database
from control_api.event_tail import EventTail
from control_api.tables import RunRow
from midcourse.contract.base import utc_now


@pytest.fixture
def ours(tmp_path):
    database = Database(database_url(tmp_path), Bell(look_seconds=60.0))
    yield database
    database.close()


@pytest.fixture
def theirs(tmp_path):
    """As another process has it: the same database, another bell."""
    database = Database(database_url(tmp_path), Bell())
    yield database
    database.close()


def add_run(database, run_id):
    with database.writing() as session:
        session.add(
            RunRow(id=run_id, experiment="e", config={}, created_by="ada", created_at=utc_now())
        )


def test_a_look_rings_for_the_runs_that_changed_and_for_no_others(ours, theirs):
    tail = EventTail(ours)
    add_run(theirs, "before")
    last = tail.newest()
    assert tail.look(last) == last
    assert ours.bell.count(RECONCILER) == 0
    add_run(theirs, "r1")
    add_run(theirs, "r2")
    assert tail.look(last) == last + 2
    counts = {name: ours.bell.count(run_key(name)) for name in ("before", "r1", "r2")}
    assert counts == {"before": 0, "r1": 1, "r2": 1}
    assert ours.bell.count(EVENTS) == ours.bell.count(RECONCILER) == 1


def test_more_events_than_one_look_takes_are_all_told(ours, theirs, monkeypatch):
    monkeypatch.setattr("control_api.event_tail._MOST", 2)
    tail = EventTail(ours)
    last = tail.newest()
    for number in range(5):
        add_run(theirs, f"r{number}")
    for _ in range(3):
        last = tail.look(last)
    assert last == tail.newest()
    assert all(ours.bell.count(run_key(f"r{number}")) == 1 for number in range(5))


def test_a_waiter_here_hears_at_once_of_a_change_there(ours, theirs):
    tail = EventTail(ours)
    tail.start()
    looked = threading.Event()
    seen = []

    def look():
        with ours.reading() as session:
            row = session.get(RunRow, "r1")
        looked.set()
        return row

    try:
        waiter = threading.Thread(
            target=lambda: seen.append(ours.bell.await_value(run_key("r1"), look, 30.0))
        )
        waiter.start()
        assert looked.wait(10)
        first = ours.bell.count(EVENTS)
        # A change right after the start may come before the tail's own first look.
        number = 0
        while ours.bell.count(EVENTS) == first:
            add_run(theirs, f"another-{number}")
            number += 1
            time.sleep(0.05)
        began = time.monotonic()
        add_run(theirs, "r1")
        waiter.join(30)
        assert seen[0].id == "r1"
        assert time.monotonic() - began < 10
    finally:
        tail.stop()


def test_it_lives_through_a_database_that_is_away(ours, theirs, monkeypatch):
    monkeypatch.setattr("control_api.event_tail._AWAY_SECONDS", 0.01)
    tail = EventTail(ours)
    look, told = tail.look, threading.Event()

    def fail_once(last):
        if not told.is_set():
            told.set()
            with ours.reading() as session:
                session.execute(text("SELECT * FROM no_such_table"))
        return look(last)

    monkeypatch.setattr(tail, "look", fail_once)
    tail.start()
    try:
        assert told.wait(10)
        add_run(theirs, "r1")
        deadline = time.monotonic() + 10
        while ours.bell.count(run_key("r1")) == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        tail.stop()
