import errno
import os
from pathlib import Path
from typing import Any

import pytest

from midcourse.contract.base import utc_now
from midcourse.contract.commands import FORK_SEQ, At, Command
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.errors import JournalUnusable
from midcourse.journal import Journal


def command(seq: int, kind: str = "pause", **fields: Any) -> Command:
    return Command.model_validate(
        {
            "run": "r1",
            "seq": seq,
            "actor": "ada",
            "accepted_at": utc_now(),
            "action": {"kind": kind, **fields},
        }
    )


def receipt(seq: int, state: CommandState = CommandState.APPLIED) -> Receipt:
    return Receipt(run="r1", seq=seq, state=state, step=5, at=utc_now())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_what_was_written_is_found_again(path: Path) -> None:
    journal = Journal(path)
    journal.conclude(journal.intend(5, command(1)), receipt(1))
    journal.refuse(command(2), receipt(2, CommandState.REJECTED))
    journal.intend(6, command(3))
    journal.close()
    again = Journal(path)
    assert [(intent.position, intent.step) for intent in again.intents] == [(1, 5), (2, 6)]
    assert again.outcomes[1].state is CommandState.APPLIED
    assert (again.position, again.seqs) == (2, {1, 2, 3})
    assert [done.seq for done, _ in again.concluded()] == [1, 2]
    again.close()


def test_redone_is_what_acted_or_may_have(path: Path) -> None:
    journal = Journal(path)
    for seq, state in ((1, CommandState.APPLIED), (2, CommandState.FAILED), (3, None)):
        intent = journal.intend(seq, command(seq))
        if state is not None:
            journal.conclude(intent, receipt(seq, state))
    journal.close()
    again = Journal(path)
    assert [intent.command.seq for intent in again.to_redo(0)] == [1, 3]
    assert [intent.command.seq for intent in again.to_redo(1)] == [3]
    again.close()


def test_a_torn_tail_is_passed_over_and_then_overwritten(path: Path) -> None:
    journal = Journal(path)
    journal.intend(5, command(1))
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"type":"intent","position":2,' + b" " * 2000)
    again = Journal(path)
    assert again.position == 1
    again.intend(6, command(2))
    again.close()
    assert Journal(path).position == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"\n",
        b"garbage\n",
        b'{"type":"intent"}\n',
        b'{"type":"outcome","position":NaN}\n',
        b"\x00" * 512 + b"\n",
    ],
)
def test_a_damaged_line_is_never_read_as_nothing_happened(path: Path, damage: bytes) -> None:
    journal = Journal(path)
    journal.intend(5, command(1))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + damage + whole.replace(b'"position":1', b'"position":2'))
    with pytest.raises(JournalUnusable, match=f"line 2 of {path} is damaged"):
        Journal(path)
    assert path.stat().st_size > len(whole)


def test_a_missing_line_is_damage_too(path: Path) -> None:
    journal = Journal(path)
    journal.intend(5, command(1))
    journal.intend(5, command(2))
    journal.close()
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(JournalUnusable, match="position 2 follows 0"):
        Journal(path)


def test_reading_one_leaves_it_to_whoever_writes_it(path: Path) -> None:
    """A second process looks before it has the lock; it must not cut off what comes meanwhile."""
    journal = Journal(path)
    journal.intend(5, command(1))
    with path.open("ab") as file:
        file.write(b'{"half a line')
    looking = Journal(path)
    looking.close()
    assert path.read_bytes().endswith(b'{"half a line')
    journal.close()


class Disk:
    """A disk that takes only the beginning of a line, or fails to sync it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def full(self) -> None:
        pwrite = os.pwrite
        self._monkeypatch.setattr(
            os, "pwrite", lambda file, data, offset: pwrite(file, data[:50], offset)
        )

    def refusing(self) -> None:
        self._monkeypatch.setattr(os, "pwrite", self._raise)

    def failing_late(self) -> None:
        self._monkeypatch.setattr(os, "fsync", self._raise)

    def mend(self) -> None:
        self._monkeypatch.undo()

    @staticmethod
    def _raise(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("trouble", ["full", "refusing", "failing_late"])
def test_an_intent_that_was_not_promised_is_not_found(
    path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    journal.intend(5, command(1))
    disk = Disk(monkeypatch)
    getattr(disk, trouble)()
    with pytest.raises(OSError, match="No space left"):
        journal.intend(6, command(2, "revert", checkpoint="step-1", child="r2"))
    assert journal.position == Journal(path).position == 1
    disk.mend()
    journal.intend(7, command(3))
    journal.close()
    assert [intent.command.seq for intent in Journal(path).intents] == [1, 3]


@pytest.mark.parametrize("trouble", ["full", "refusing", "failing_late"])
def test_an_outcome_that_does_not_fit_is_kept_in_memory(
    path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    intent = journal.intend(5, command(1))
    getattr(Disk(monkeypatch), trouble)()
    journal.conclude(intent, receipt(1))
    journal.refuse(command(2), receipt(2, CommandState.REJECTED))
    assert journal.outcomes[1].state is CommandState.APPLIED
    assert journal.seqs == {1, 2}
    assert [intent.command.seq for intent in Journal(path).to_redo(0)] == [1]


def test_the_successor_is_the_child_of_a_revert_that_was_applied(path: Path) -> None:
    journal = Journal(path)
    for seq, state in ((1, CommandState.FAILED), (2, CommandState.APPLIED)):
        revert = command(seq, "revert", checkpoint="step-1", child=f"r{seq}")
        intent = journal.intend(5, revert)
        assert journal.successor() is None
        journal.conclude(intent, receipt(seq, state))
    assert journal.successor() == "r2"
    journal.close()


def test_a_scheduled_command_waits_until_it_acts_or_is_refused(path: Path) -> None:
    journal = Journal(path)
    for seq in (3, 1, 2):
        journal.schedule(command(seq).model_copy(update={"at": At(step=9)}))
    journal.intend(9, command(1))
    journal.refuse(command(2), receipt(2, CommandState.EXPIRED))
    assert [waiting.seq for waiting in journal.waiting()] == [3]
    journal.close()
    again = Journal(path)
    assert [str(waiting.at) for waiting in again.waiting()] == ["step 9"]
    assert again.seqs == {1, 2, 3}


def test_the_last_changes_know_where_undo_goes(path: Path) -> None:
    journal = Journal(path)
    for seq, name in ((1, "step-1"), (2, None), (3, "step-3"), (4, "step-4.1")):
        journal.intend(seq, command(seq), name)
    assert journal.undo_points(2) == {"step-3", "step-4.1"}
    journal.close()
    assert Journal(path).undo_points(9) == {"step-1", "step-3", "step-4.1"}


def test_a_forks_changes_are_known_by_their_number(path: Path) -> None:
    journal = Journal(path)
    assert not journal.has_fork_changes
    journal.intend(5, command(FORK_SEQ, "set", changes={"optimizer.lr": 0.1}))
    assert journal.has_fork_changes
    assert journal.seqs == {FORK_SEQ}
    journal.close()
