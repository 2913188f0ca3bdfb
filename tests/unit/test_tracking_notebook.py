"""What trackers remember of what they told people."""

import threading
from datetime import timedelta
from pathlib import Path

from tracked_runs import BEGIN

from midcourse.contract.runs import RunLabels
from midcourse.tracking.alerts import Alert, AlertKind
from midcourse.tracking.notebook import OLD_NEWS, Notebook


def alert(number: int) -> Alert:
    at = BEGIN + timedelta(milliseconds=number)
    return Alert(kind=AlertKind.MESSAGE, at=at, title="it", text="diverges")


def book(folder: Path) -> Notebook:
    return Notebook(folder / "told.json", now=lambda: BEGIN + OLD_NEWS - timedelta(seconds=1))


def test_a_later_tracker_knows_what_was_told(tmp_path: Path) -> None:
    first = book(tmp_path)
    assert first.is_news(alert(1))
    first.told(alert(1))
    first.remember(RunLabels(name="first"))
    second = book(tmp_path)
    assert not second.is_news(alert(1))
    assert second.is_news(alert(2))
    assert second.labels == RunLabels(name="first")


def test_one_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text("{")
    assert book(tmp_path).is_news(alert(1))


def test_two_threads_lose_nothing_of_what_they_write(tmp_path: Path) -> None:
    """Alerts are told by one, labels shown by another."""
    shared, count, troubles = book(tmp_path), 300, list[BaseException]()
    begin = threading.Barrier(2)

    def write(what: str) -> None:
        begin.wait()
        try:
            for number in range(count):
                if what == "alerts":
                    shared.told(alert(number))
                else:
                    shared.remember(RunLabels(name=str(number)))
        except OSError as error:
            troubles.append(error)

    threads = [threading.Thread(target=write, args=[what]) for what in ("alerts", "labels")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    later = book(tmp_path)
    assert [number for number in range(count) if later.is_news(alert(number))] == []
    assert later.labels.name == str(count - 1)
