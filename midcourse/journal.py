"""The journal of one run: intents on disk before they act, outcomes after. It only grows."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from midcourse.contract.base import Record, utc_now
from midcourse.contract.commands import FORK_SEQ, Command, Revert, Undo
from midcourse.contract.journal import (
    Intent,
    JournalLine,
    Outcome,
    Refusal,
    Scheduled,
    parse_journal_line,
)
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.errors import JournalUnusable
from midcourse.fence import Fence


class Journal:
    """Appends to `journal.jsonl`, each line synced to the disk before the call returns.

    Opening one only reads, so that it may be looked at while another process writes it.
    """

    def __init__(self, path: Path, fence: Fence | None = None) -> None:
        """Open a journal, or begin one; an unfinished last line (a crash) is passed over.

        Args:
            path: of the file.
            fence: looked at before each line; once a later attempt has the run, none is written.

        Raises:
            JournalUnusable: a whole line is damaged; it is never read as "nothing happened".
        """
        self.path = path
        self._fence = fence
        self.intents: list[Intent] = []
        self.outcomes: dict[int, Receipt] = {}
        """By the position of the intent."""
        self.refusals: list[Refusal] = []
        self._scheduled: dict[int, Command] = {}
        self._size = 0
        self._lock = threading.Lock()
        self._file = -1
        self._read()

    def _read(self) -> None:
        data = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            try:
                self._remember(parse_journal_line(line))
            except ValueError as error:
                raise JournalUnusable(
                    f"line {number} of {self.path} is damaged ({error}); restore the file from a "
                    "copy, or fork the run from a checkpoint"
                ) from error
            self._size += len(line) + 1

    def _remember(self, line: JournalLine) -> None:
        match line:
            case Intent():
                if line.position != len(self.intents) + 1:
                    raise ValueError(f"position {line.position} follows {len(self.intents)}")
                self.intents.append(line)
            case Outcome():
                self.outcomes[line.position] = line.receipt
            case Scheduled():
                self._scheduled[line.command.seq] = line.command
            case Refusal():
                self.refusals.append(line)

    @property
    def position(self) -> int:
        """How many intents there are."""
        return len(self.intents)

    @property
    def seqs(self) -> set[int]:
        """The numbers of all commands that were ever dealt with, or wait for their step."""
        return self._ended() | set(self._scheduled)

    def knows(self, seq: int, actor: str, step: int) -> bool:
        """Whether a command of this number and actor was dealt with at this boundary."""
        acted = [(intent.command, intent.step) for intent in self.intents]
        refused = [(refusal.command, refusal.receipt.step) for refusal in self.refusals]
        return any(
            (command.seq, command.actor, at) == (seq, actor, step)
            for command, at in (*acted, *refused)
        )

    def _ended(self) -> set[int]:
        acted = {intent.command.seq for intent in self.intents}
        return acted | {refusal.command.seq for refusal in self.refusals}

    def waiting(self) -> list[Command]:
        """Scheduled commands that have not acted, in order of their numbers."""
        ended = self._ended()
        return [command for seq, command in sorted(self._scheduled.items()) if seq not in ended]

    @property
    def has_fork_changes(self) -> bool:
        """Whether the changes that a fork began with were written down."""
        return any(intent.command.seq == FORK_SEQ for intent in self.intents)

    def successor(self) -> str | None:
        """The run that took this one's place by an applied revert."""
        for intent in self.intents:
            receipt = self.outcomes.get(intent.position)
            action = intent.command.action
            applied = receipt is not None and receipt.state is CommandState.APPLIED
            if isinstance(action, Revert | Undo) and applied:
                return action.child
        return None

    def concluded(self) -> Iterator[tuple[Command, Receipt]]:
        """Every command that was dealt with, and its receipt."""
        for intent in self.intents:
            if intent.position in self.outcomes:
                yield intent.command, self.outcomes[intent.position]
        for refusal in self.refusals:
            yield refusal.command, refusal.receipt

    def to_redo(self, position: int) -> list[Intent]:
        """The intents after `position` that acted, or may have when the process died."""
        return [
            intent
            for intent in self.intents[position:]
            if intent.position not in self.outcomes
            or self.outcomes[intent.position].state is CommandState.APPLIED
        ]

    def intend(self, step: int, command: Command, undo_to: str | None = None) -> Intent:
        """Write down that a command is about to act.

        Args:
            step: the boundary at hand.
            command: what acts.
            undo_to: the checkpoint that was taken before it, if one was.

        Raises:
            OSError: the disk would not take it; the command must not act.
        """
        intent = Intent(
            position=self.position + 1, step=step, at=utc_now(), command=command, undo_to=undo_to
        )
        self._append(intent)
        self.intents.append(intent)
        return intent

    def conclude(self, intent: Intent, receipt: Receipt) -> None:
        """Write down what became of an intent. A full disk loses nothing: a redo is exact."""
        self.outcomes[intent.position] = receipt
        try:
            self._append(Outcome(position=intent.position, receipt=receipt))
        except OSError:
            return

    def schedule(self, command: Command) -> None:
        """Write down that a command waits for its step.

        Raises:
            OSError: the disk would not take it; the command must not be waited for.
        """
        self._append(Scheduled(command=command))
        self._scheduled[command.seq] = command

    def undo_points(self, count: int) -> set[str]:
        """The checkpoints that the last `count` changes can be undone to."""
        names = [intent.undo_to for intent in self.intents if intent.undo_to is not None]
        return set(names[-count:])

    def refuse(self, command: Command, receipt: Receipt) -> None:
        """Write down that a command did not act."""
        refusal = Refusal(command=command, receipt=receipt)
        self.refusals.append(refusal)
        try:
            self._append(refusal)
        except OSError:
            return

    def _append(self, record: Record) -> None:
        data = record.to_json().encode() + b"\n"
        with self._lock:  # a checkpoint's outcome comes from the writer's thread
            self._check_fence()
            if self._file < 0:
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
                self._check_fence()  # once more, as it is open now: see `midcourse.fence`
                os.ftruncate(self._file, self._size)
            try:
                if os.pwrite(self._file, data, self._size) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(self._file)
            except OSError:
                # What was not promised must not be found after a crash, be it whole or torn.
                with suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise
            self._size += len(data)

    def _check_fence(self) -> None:
        if self._fence is not None:
            self._fence.check()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
