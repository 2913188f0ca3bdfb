"""Errands are tried until they are done, and never keep the end waiting for long."""

import threading

from midcourse.tracking.errands import Errands, NeverDone, Undone


def test_an_errand_is_tried_until_it_is_done() -> None:
    errands, tries, done = Errands(pause_seconds=0.0), [], threading.Event()

    def attempt() -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("no server")
        if len(tries) == 3:
            done.set()
        return done.is_set()

    errands.add("a link", attempt)
    assert done.wait(30.0)
    assert errands.finish(30.0) == []
    assert len(tries) == 3


def test_what_is_not_done_in_time_is_told_with_its_reason() -> None:
    errands = Errands(pause_seconds=0.0)
    tried = threading.Event()

    def attempt() -> bool:
        tried.set()
        raise ConnectionError("no server\nand more")

    errands.add("a link", attempt)
    assert tried.wait(30.0)
    errands.add("another", lambda: False)
    told = errands.finish(0.2)
    assert [str(undone) for undone in told] == [
        "a link: no server",
        "another: it was not there yet",
    ]
    assert not any(undone.never for undone in told)


def test_what_can_never_be_done_is_tried_once_told_and_does_not_keep_the_end_waiting() -> None:
    errands, tries = Errands(pause_seconds=0.0), []

    def attempt() -> bool:
        tries.append(1)
        raise NeverDone("it is gone")

    errands.add("a link", attempt)
    assert errands.finish(30.0) == [Undone("a link", "it is gone", never=True)]
    assert len(tries) == 1


def test_one_that_hangs_does_not_keep_the_end_waiting() -> None:
    errands, release = Errands(), threading.Event()
    errands.add("a link", lambda: release.wait(30.0))
    assert errands.finish(0.1) == [Undone("a link", "it was not there yet", never=False)]
    release.set()


def test_without_errands_there_is_nothing_to_wait_for() -> None:
    before = threading.active_count()
    assert Errands().finish(30.0) == []
    assert threading.active_count() == before
