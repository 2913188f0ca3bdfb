import threading
import time

from control_api.bell import Bell


def test_a_value_that_is_there_is_not_waited_for():
    assert Bell().await_value("run:a", lambda: "there", 60) == "there"


def test_nothing_comes_and_the_time_is_over():
    assert Bell().await_value("run:a", lambda: None, 0.01) is None


def test_who_heard_nothing_until_the_end_does_not_look_once_more():
    looks = []
    assert Bell().await_value("run:a", lambda: looks.append("look"), 0.01) is None
    assert looks == ["look"]


def test_a_ring_wakes_who_waits():
    bell, rows = Bell(), []
    heard = []
    looked = threading.Event()

    def look():
        looked.set()
        return rows[0] if rows else None

    waiter = threading.Thread(target=lambda: heard.append(bell.await_value("run:a", look, 60)))
    waiter.start()
    looked.wait(10)
    rows.append("command")
    began = time.monotonic()
    bell.ring("run:a")
    waiter.join(10)
    assert heard == ["command"]
    assert time.monotonic() - began < 0.4  # by the bell, not by looking now and then


def test_a_change_from_another_process_is_seen_without_a_ring():
    found = iter([None, "from elsewhere"])
    assert Bell().await_value("run:a", lambda: next(found), 60) == "from elsewhere"


def test_a_ring_between_counting_and_waiting_is_not_lost():
    bell = Bell()
    heard = bell.count("run:a")
    bell.ring("run:a")
    began = time.monotonic()
    bell.wait("run:a", heard, 60)
    assert time.monotonic() - began < 10


def test_silence_lets_everybody_go():
    bell = Bell()
    looked = threading.Event()
    waiter = threading.Thread(
        target=lambda: bell.await_value("run:a", lambda: looked.set(), 60), daemon=True
    )
    waiter.start()
    looked.wait(10)
    bell.silence()
    waiter.join(10)
    assert not waiter.is_alive()
    assert bell.silenced
