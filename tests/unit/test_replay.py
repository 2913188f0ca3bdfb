"""Journal files: what is read, what is refused, and with which words."""

import json
from pathlib import Path
from typing import Any

import pytest

from midcourse.contract.errors import InvalidInput
from midcourse.contract.journal_file import differences
from midcourse.replay.__main__ import main
from midcourse.replay.export import write_journal
from midcourse.replay.file import JournalFile, parse_journal, read_journal_file
from midcourse.replay.replay import Replay

HEADER = {
    "type": "journal",
    "format": 1,
    "run": "r1",
    "line": ["r1"],
    "experiment": "digits",
    "seed": 7,
    "config": {},
    "exported_at": "2026-05-01T12:00:00Z",
}


def acted(step: int, kind: str = "set", seq: int = 1, **fields: Any) -> dict[str, Any]:
    action = {"kind": kind} | ({"changes": {"optimizer.lr": 0.1}} if kind == "set" else {})
    return {
        "type": "command",
        "run": "r1",
        "seq": seq,
        "actor": "ada",
        "time": "2026-05-01T12:00:00Z",
        "step": step,
        "action": action,
    } | fields


def journal(*commands: dict[str, Any], **header: Any) -> JournalFile:
    return parse_journal([json.dumps(line) for line in (HEADER | header, *commands)], "it")


def faults(lines: list[str]) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        parse_journal(lines, "j.jsonl")
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("", "j.jsonl is no journal: its first line is no JSON"),
        ("hello", "j.jsonl is no journal: its first line is no JSON"),
        ("[1]", "j.jsonl is no journal: its first line is no journal's header"),
        ('{"type": "metrics"}', "j.jsonl is no journal: its first line is no journal's header"),
        ('{"type": "intent"}', "is the journal that a run keeps for itself"),
        (json.dumps(HEADER | {"format": 2}), "has the format 2; this version of Midcourse reads"),
        (json.dumps(HEADER | {"format": None}), "has the format None"),
        (json.dumps(HEADER | {"seed": "7"}), "line 1 of j.jsonl.seed: must be a whole number"),
        (json.dumps(HEADER | {"line": []}), "line 1 of j.jsonl.line"),
        (json.dumps(HEADER | {"more": 1}), "line 1 of j.jsonl.more: is not a known key"),
    ],
)
def test_a_first_line_that_is_no_header_is_refused(first: str, said: str) -> None:
    [fault] = faults([first])
    assert said in fault


def test_an_empty_file_is_no_journal() -> None:
    assert faults([]) == ["replay: j.jsonl is no journal: it is empty"]


def test_every_bad_line_is_named() -> None:
    lines = [
        HEADER,
        acted(5),
        acted(4),
        acted(-2),
        acted(7, kind="dance"),
        acted(8, actor=""),
        acted(9, more=1),
    ]
    told = faults([*map(json.dumps, lines), "{", '{"type": "command", "step": NaN}'])
    assert [fault.partition(":")[0].partition(" of ")[0] for fault in told] == [
        "line 3", "line 4", "line 5", "line 6", "line 7", "line 8", "line 9"
    ]  # fmt: skip
    assert told[0] == (
        "line 3 of j.jsonl: acted at step 4, after one that acted at step 5; lines stand in order "
        "of steps"
    )


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, said in (("bytes", "it is no text"), ("none", "cannot be read"), (".", "cannot be")):
        with pytest.raises(InvalidInput, match=said):
            read_journal_file(tmp_path / name)


def test_lines_end_where_lines_end(tmp_path: Path) -> None:
    reason = "a\u2028b\x85c\x0bd é"
    lines = [json.dumps(line, ensure_ascii=False) for line in (HEADER, acted(3, reason=reason))]
    write_journal(lines, tmp_path / "j.jsonl")
    [command] = read_journal_file(tmp_path / "j.jsonl").commands
    assert command.reason == reason


def taken(replay: Replay, step: int) -> list[int]:
    numbers = []
    while (proposal := replay.take(step)) is not None:
        numbers.append(proposal.number)
    return numbers


def test_each_command_is_given_at_its_step_in_order_under_its_place_in_the_file() -> None:
    replay = Replay(
        journal(
            acted(-1),
            acted(3),
            acted(3, "pause"),
            acted(3, "checkpoint"),
            acted(3, "resume"),
            acted(8, "cancel", action={"kind": "cancel", "seq": 4}),
            acted(9, "stop"),
        ),
        "r2",
    )
    assert replay.next_step() == -1
    assert taken(replay, -1) == [1]
    assert replay.next_step() == 3
    assert taken(replay, 2) == []
    assert taken(replay, 3) == [2, 4]
    assert taken(replay, 3) == []
    assert replay.next_step() == 9
    assert taken(replay, 9) == [7]
    assert replay.next_step() is None
    assert replay.state_dict() == {}


def test_after_a_crash_what_an_earlier_attempt_gave_is_passed_over() -> None:
    replay = Replay(journal(acted(1), acted(3), acted(5), acted(5)), "r2")
    assert taken(replay, 5) == [3, 4]


@pytest.mark.parametrize(
    ("reason", "given"),
    [
        (None, "replay of r1"),
        ("it diverges", "replay of r1: it diverges"),
        ("replay of r0: it diverges", "replay of r0: it diverges"),
        ("x" * 2000, "replay of r1: " + "x" * 1986),
    ],
)
def test_the_reason_says_that_it_is_a_replay(reason: str | None, given: str) -> None:
    proposal = Replay(journal(acted(3, reason=reason)), "r2").take(3)
    assert proposal is not None
    assert (proposal.actor, proposal.reason) == ("ada", given)


@pytest.mark.parametrize("kind", ["revert", "undo"])
def test_where_the_run_was_reverted_a_replay_stops(kind: str) -> None:
    action = {"kind": kind, "child": "r3"} | ({"checkpoint": "step-3"} if kind == "revert" else {})
    proposal = Replay(journal(acted(9, kind, action=action), successor="r3"), "r2").take(9)
    assert proposal is not None
    assert proposal.action.kind == "stop"
    assert proposal.reason == "replay of r1: the run was reverted here, and r3 went on"


@pytest.mark.parametrize(
    ("said", "recorded", "found"),
    [
        (1, 1, []),
        (1.0, 1, []),
        (True, 1, ["c"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2]}}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1]}}, ["c.a.b"]),
        ({"a": 1, "x": None}, {"a": 2, "y": None}, ["c.a", "c.x", "c.y"]),
        ({"a": 1}, 1, ["c"]),
    ],
)
def test_differences_are_found_where_they_are(said: Any, recorded: Any, found: list[str]) -> None:
    assert [path for path, _ in differences(said, recorded, "c")] == found


@pytest.mark.parametrize("output", [[], ["-o", "out.jsonl"]])
def test_the_command_line_says_what_is_wrong(
    output: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "r8", "--home", str(tmp_path), *output]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"there is no run r8 in {tmp_path}\n")


def test_the_command_line_writes_a_file_or_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "r1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"id": "r1", "experiment": "digits", "seed": 7}')
    assert main(["export", "r1", "--home", str(tmp_path)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    out = tmp_path / "new" / "j.jsonl"
    assert main(["export", "r1", "--home", str(tmp_path), "-o", str(out)]) == 0
    assert capsys.readouterr().err == f"0 commands written to {out}\n"
    assert json.loads(line)["run"] == read_journal_file(out).header.run == "r1"
    assert main(["export", "r1", "--home", str(tmp_path), "-o", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
