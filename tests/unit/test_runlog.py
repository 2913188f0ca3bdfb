import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from midcourse.contract.base import utc_now
from midcourse.contract.records import Metrics, Notice
from midcourse.runlog import CorruptRunLog, RunLogReader, RunLogWriter, metrics_lines, whole_lines


def notice(message: str) -> Notice:
    return Notice(at=utc_now(), message=message)


def messages(path: Path) -> list[str]:
    found: list[str] = []
    reader = RunLogReader(path)
    while batch := reader.read():
        found += [record.message for record in batch if isinstance(record, Notice)]
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "runlog.jsonl"


def test_what_is_flushed_is_read_in_order(path: Path) -> None:
    writer = RunLogWriter(path)
    writer.append(notice("one"), notice("two"))
    assert not messages(path)
    assert writer.flush()
    assert messages(path) == ["one", "two"]
    assert writer.size == path.stat().st_size
    writer.close()


def test_a_torn_last_line_is_cut_off_and_nothing_else(path: Path) -> None:
    writer = RunLogWriter(path)
    writer.append(*(notice(f"{number} " + "x" * 1000) for number in range(200)))
    writer.close()
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"type":"notice","message":"' + b"y" * 100_000)
    assert len(messages(path)) == 200  # a reader does not see it either
    writer = RunLogWriter(path)
    assert path.stat().st_size == writer.size == whole
    writer.append(notice("after"))
    writer.close()
    assert messages(path)[-1] == "after"


def test_a_log_that_is_one_torn_line_begins_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"type":')
    writer = RunLogWriter(path)
    assert writer.size == 0
    writer.close()


def test_a_full_disk_keeps_the_lines_for_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RunLogWriter(path)
    room = [40]
    pwrite = os.pwrite

    def full(file: int, data: bytes, offset: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(room[0], len(data))
        room[0] -= taken
        return pwrite(file, data[:taken], offset)

    monkeypatch.setattr(os, "pwrite", full)
    writer.append(notice("one"), notice("two"))
    assert not writer.flush()
    assert writer.trouble is not None
    assert messages(path) == []
    writer.append(notice("three"))
    room[0] = 100  # one whole line and a part of the next
    assert not writer.flush()
    assert messages(path) == ["one"]
    room[0] = 10_000
    assert writer.flush()
    assert writer.trouble is None
    assert messages(path) == ["one", "two", "three"]
    writer.close()


def test_partial_writes_are_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:7], offset))
    writer = RunLogWriter(path)
    writer.append(notice("a message of more than seven bytes"))
    writer.close()
    assert messages(path) == ["a message of more than seven bytes"]


def test_an_error_of_the_disk_itself_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunLogWriter(path)
    writer.append(notice("one"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _raise_io_error)
        assert not writer.flush(durable=True)
    writer.append(notice("two"))
    writer.close()
    assert messages(path) == ["one", "two"]


def _raise_io_error(file: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_readers_keep_up_with_a_writer(path: Path) -> None:
    writer = RunLogWriter(path)
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        reader = RunLogReader(path)
        while True:
            over = done.is_set()
            batch = reader.read(max_bytes=500)
            seen.extend(record.step for record in batch if isinstance(record, Metrics))
            if over and not batch:
                return

    thread = threading.Thread(target=read)
    thread.start()
    for step in range(3000):
        writer.append_lines(metrics_lines([(1.0, step, ("loss",), [step / 7])]))
        if step % 10 == 0:
            writer.flush()
    writer.close()
    done.set()
    thread.join()
    assert seen == list(range(3000))


def test_a_damaged_line_is_named_after_what_is_good_before_it(path: Path) -> None:
    writer = RunLogWriter(path)
    writer.append(notice("one"))
    writer.close()
    good = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"type":"notice"}\n')
    reader = RunLogReader(path)
    assert len(reader.read()) == 1
    for _ in range(2):
        with pytest.raises(CorruptRunLog, match=f"damaged line at byte {good}"):
            reader.read()


def test_a_line_longer_than_the_limit_is_read_whole(path: Path) -> None:
    writer = RunLogWriter(path)
    writer.append(notice("x" * 5000), notice("short"))
    writer.close()
    [first] = whole_lines(path, 0, 100)
    assert len(first) > 5000
    assert len(whole_lines(path, len(first), 10_000)) == 1
    assert whole_lines(path, path.stat().st_size, 100) == []
    assert whole_lines(path.with_name("absent"), 0, 100) == []


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(0.1, 0.1), (float("nan"), "NaN"), (float("inf"), "Infinity"), (-float("inf"), "-Infinity")],
)
def test_a_loss_that_is_no_number_any_more_is_seen(path: Path, value: float, spelled: Any) -> None:
    writer = RunLogWriter(path)
    writer.append_lines(metrics_lines([(1.0, 0, ("loss",), [value])]))
    writer.close()
    [record] = RunLogReader(path).read()
    assert isinstance(record, Metrics)
    assert record.step == 0
    assert record.values == {"loss": spelled}
