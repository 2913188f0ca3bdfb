import pytest

from midcourse.lease import Lease


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease_of(clock: Clock, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> "Told":
    monkeypatch.setattr("midcourse.lease.LOOK_SECONDS", 3600.0)  # the test looks by itself
    told = Told()
    told.lease = Lease(told.changes.append, clock)
    if seconds is not None:
        told.lease.lasts(seconds)
    return told


class Told:
    lease: Lease

    def __init__(self) -> None:
        self.changes: list[bool] = []


def test_it_says_once_that_it_is_over_and_once_that_it_runs_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = lease_of(clock, 10.0, monkeypatch)
    for seconds in (9.0, 1.0, 0.5, 5.0):
        clock.now += seconds
        told.lease.look()
    assert told.changes == [True]
    told.lease.heard()
    told.lease.look()
    told.lease.look()
    assert told.changes == [True, False]
    told.lease.close()


def test_each_answer_renews_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = lease_of(clock, 10.0, monkeypatch)
    for _ in range(5):
        clock.now += 9.0
        told.lease.look()
        told.lease.heard()
    assert told.changes == []
    told.lease.close()


def test_without_one_nothing_is_ever_over(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = lease_of(clock, None, monkeypatch)
    clock.now += 1e9
    told.lease.look()
    assert told.changes == []
    told.lease.close()
