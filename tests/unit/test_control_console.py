import os

import pytest

from control_api import console
from control_api.console import FileConsole, followed, pieces, start_of_tail, whole_end


@pytest.fixture
def log(tmp_path):
    return tmp_path / "console.log"


def shown(log, start=0):
    return b"".join(pieces(FileConsole(log), start, FileConsole(log).size()))


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 65_536])
@pytest.mark.parametrize(
    ("text", "tails"),
    [
        (b"", ["", "", ""]),
        (b"one\n", ["", "one\n", "one\n"]),
        (b"one\ntwo\nthree\n", ["", "three\n", "two\nthree\n"]),
        (b"one\ntwo\nthr", ["", "thr", "two\nthr"]),
        (b"\n\n\n", ["", "\n", "\n\n"]),
        (b"no line ends", ["", "no line ends", "no line ends"]),
    ],
)
def test_a_tail_is_so_many_lines(log, monkeypatch, piece, text, tails):
    monkeypatch.setattr(console, "PIECE_BYTES", piece)
    log.write_bytes(text)
    for lines, tail in enumerate(tails):
        assert shown(log, start_of_tail(FileConsole(log), lines)).decode() == tail


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5])
def test_what_is_no_utf8_is_shown_byte_by_byte(log, monkeypatch, piece):
    monkeypatch.setattr(console, "PIECE_BYTES", piece)
    printed = "grün ✓ 🙂".encode() + b"\xff\xfe\xc3(\xf0\x9f\x99" + "ü".encode() + b"\xe2\x9c"
    log.write_bytes(printed)
    assert shown(log).decode() == "grün ✓ 🙂??" + "?(" + "???" + "ü" + "??"
    assert len(shown(log)) == len(printed)


def test_an_unfinished_character_waits_for_its_rest(log):
    log.write_bytes("ab✓".encode()[:-1])
    assert whole_end(FileConsole(log), 4) == 2
    log.write_bytes("ab✓".encode())
    assert whole_end(FileConsole(log), 5) == 5
    log.write_bytes(b"\xff\xff")
    assert whole_end(FileConsole(log), 2) == 2
    log.write_bytes("🙂".encode()[:3])
    assert whole_end(FileConsole(log), 3) == 0


def test_what_was_never_printed_is_empty(log):
    assert (FileConsole(log).size(), FileConsole(log).read(0, 10), shown(log)) == (0, b"", b"")
    assert start_of_tail(FileConsole(log), 3) == whole_end(FileConsole(log), 0) == 0


def test_a_huge_log_is_never_in_memory(log):
    with log.open("wb") as file:
        file.truncate(2_000_000_000)  # takes no room on the disk
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    largest = 0

    class Counting(FileConsole):
        def read(self, offset, most):
            nonlocal largest
            data = super().read(offset, most)
            largest = max(largest, len(data))
            return data

    seen = Counting(log)
    assert start_of_tail(seen, 1) == 2_000_000_001
    assert next(iter(pieces(seen, 0, seen.size()))) == b"\0" * console.PIECE_BYTES
    assert largest == console.PIECE_BYTES


def test_it_is_followed_until_it_is_over_and_then_to_its_end(log):
    log.write_bytes(b"one\n")
    scenes = iter([(b"two ", False), (b"", False), ("ü".encode()[:1], False), (b"\xbc\n", True)])
    over, waits = [False], []

    def wait(seconds):
        waits.append(seconds)
        text, over[0] = next(scenes)
        with log.open("ab") as file:
            file.write(text)

    said = list(followed(FileConsole(log), 0, lambda: over[0], wait, 0.25))
    assert b"".join(said).decode() == "one\ntwo ü\n"
    assert waits == [0.25] * 4


def test_what_is_printed_just_before_the_end_is_not_lost(log):
    def is_over():
        with log.open("ab") as file:  # between the look at the run and the look at its log
            file.write(b"last words")
        return True

    assert b"".join(followed(FileConsole(log), 0, is_over, pytest.fail, 0.25)) == b"last words"
