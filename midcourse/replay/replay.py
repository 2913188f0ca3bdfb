"""A replay: gives a run the commands of a journal, each at its step, and watches what they do."""

import logging
from typing import TYPE_CHECKING, Any

from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, Manifest
from midcourse.contract.commands import (
    Action,
    Cancel,
    Fork,
    Pause,
    Resume,
    Revert,
    Stop,
    Suspend,
    Undo,
)
from midcourse.contract.journal_file import ActedCommand
from midcourse.contract.names import BEFORE_FIRST_STEP
from midcourse.contract.receipts import Receipt
from midcourse.contract.records import Notice
from midcourse.own_commands import Proposal
from midcourse.replay.comparing import difference
from midcourse.replay.file import JournalFile

if TYPE_CHECKING:
    from midcourse.engine import Engine

logger = logging.getLogger(__name__)

_WITHOUT_EFFECT = (Pause, Suspend, Resume, Cancel, Fork)
"""There is nobody to wait for, nothing that waits; and a fork without changes changed nothing."""
_MOST_OF_A_REASON = 2000


class Replay:
    """Where the commands of a run come from that replays a journal.

    It keeps no state of its own, so that the states of the run are those of the original, hash for
    hash: what it has given is in the run's journal.
    """

    def __init__(self, journal: JournalFile, run_id: str) -> None:
        """Prepare to feed a run.

        Args:
            journal: what is replayed.
            run_id: the run; a revert puts another in its place, which goes on by itself.
        """
        self.journal = journal
        self.run_id = run_id
        self._numbered = {
            number: (command, action)
            for number, command in enumerate(journal.commands, start=1)
            if (action := _action(command)) is not None
        }
        self._order = list(self._numbered)
        self._next = 0
        self._session: Engine | None = None
        self._unconfirmed = dict(self._numbered)
        """What has not been compared with its receipt yet, by number."""
        self._looked_at: set[int] = set()
        """Numbers of the run's own commands whose receipts have been compared."""
        self._told: set[int] = set()
        """Numbers of those whose receipts an earlier attempt compared."""
        self._divergence: str | None = None

    def attach(self, session: "Engine") -> None:
        """Watch a session's commands, and say at its end how the replay went."""
        self._session = session
        self._told = {receipt.seq for receipt in self._receipts()}
        session.before_end = self._conclude

    # -- what a source does -------------------------------------------------------------------

    def next_step(self) -> int | None:
        """The step of the next command."""
        if not self._feeds or self._next == len(self._order):
            return None
        return self._numbered[self._order[self._next]][0].step

    def take(self, step: int) -> Proposal | None:
        """The next command that was recorded at this step, or None."""
        if not self._feeds:
            return None
        if self._session is not None and step == BEFORE_FIRST_STEP and self._next == 0:
            self._introduce()
        self._compare()
        while (recorded := self.next_step()) is not None and recorded <= step:
            number = self._order[self._next]
            self._next += 1
            if recorded == step:
                command, action = self._numbered[number]
                return Proposal(number, action, command.actor, self._reason(command))
            # An earlier attempt gave it; what came of it is in the run's journal.
        return None

    def state_dict(self) -> dict[str, Any]:
        """Nothing; see the class."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: what an earlier attempt gave, the run's journal knows."""

    @property
    def _feeds(self) -> bool:
        """Whether the run at hand is the one that is fed, not a revert's child."""
        return self._session is None or self._session.id == self.run_id

    def _reason(self, command: ActedCommand) -> str:
        if command.reason is not None and command.reason.startswith("replay of "):
            return command.reason
        because = "" if command.reason is None else f": {command.reason}"
        if isinstance(command.action, Revert | Undo):
            because = f": the run was reverted here, and {self.journal.header.successor} went on"
        return f"replay of {self.journal.header.run}{because}"[:_MOST_OF_A_REASON]

    # -- what it says -------------------------------------------------------------------------

    def _introduce(self) -> None:
        header = self.journal.header
        count = len(self._order)
        self._say(f"replaying {count} commands of {self.journal.source}, {_way(header.line)}")
        kinds = [type(command.action) for command in self.journal.commands]
        left_out = sum(kind in (Pause, Suspend, Resume) for kind in kinds)
        if left_out:
            what = "pauses, suspensions" if Suspend in kinds else "pauses"
            self._say(f"{left_out} {what} and resumes are left out: there is nobody to wait for")
        if header.successor is not None:
            self._say(
                f"run {header.run} was reverted, and so this replay stops where it did; replay "
                f"run {header.successor}, which went on in its place, for the whole way"
            )

    def _say(self, message: str) -> None:
        assert self._session is not None
        logger.info(message)
        self._session.branch.recorder.record(Notice(at=utc_now(), message=message))

    def _compare(self) -> None:
        """Look at the receipts that have come since the last time."""
        if self._session is None:
            return
        for receipt in self._receipts():
            self._looked_at.add(receipt.seq)
            found = self._unconfirmed.pop(-receipt.seq, None)
            if found is None:
                continue
            hashes = not self.journal.header.policies
            differs = difference(found[0], receipt, hashes=hashes)
            if differs is not None:
                self._diverge(found[0], differs, again=receipt.seq in self._told)

    def _receipts(self) -> list[Receipt]:
        assert self._session is not None
        journal = self._session.branch.journal
        told = [*journal.outcomes.values(), *(refusal.receipt for refusal in journal.refusals)]
        return [
            receipt for receipt in told if receipt.seq < 0 and receipt.seq not in self._looked_at
        ]

    def _diverge(self, recorded: ActedCommand, how: str, *, again: bool) -> None:
        what = f"command {recorded.seq} of run {recorded.run} ({recorded.action.kind})"
        sentence = f"at step {recorded.step}, {what} did not do as recorded: {how}"
        self._divergence = self._divergence or sentence
        if not again:
            logger.warning("the replay diverged %s", sentence)
            self._say(f"the replay diverged {sentence}; it goes on with the other commands")

    def _conclude(self) -> None:
        """Say in the run's summary how the replay went."""
        if self._feeds and self._session is not None and self._session.last_step is not None:
            self._compare()
            verdict = self._verdict()
            self._session.summary(replay=verdict)
            self._say(f"the replay of {self.journal.source}: {verdict}")

    def _verdict(self) -> str:
        assert self._session is not None
        header, step = self.journal.header, self._session.last_step_of_boundary
        end = self._session.take_checkpoint(CheckpointReason.END)
        manifest = end.result() if end.exception() is None else None
        excuse = self._excuse(manifest)
        if self._divergence is not None:
            return f"diverged {self._divergence}{excuse}"
        if self._unconfirmed:
            rest = len(self._unconfirmed)
            return f"incomplete: it ended after step {step}, before {rest} recorded commands"
        if header.state_hash is None:
            return (
                "not compared: every command did as recorded, and the journal has no hash of the "
                "state at the end"
            )
        if step != header.last_step:
            return f"differs: it ended after step {step}, the recorded run after {header.last_step}"
        if manifest is None:
            return f"not compared: {end.exception()}"
        reached = manifest.checkpoint.state_hash
        if reached != header.state_hash:
            return (
                f"differs: the state after step {step} has the hash {reached[:12]}…, recorded was "
                f"{header.state_hash[:12]}…{excuse}"
            )
        return "exact"

    def _excuse(self, manifest: Manifest | None) -> str:
        """Versions that differ from those of the recorded run, which may be why."""
        recorded = self.journal.header.versions
        ours = {} if manifest is None else manifest.versions
        names = [name for name, is_ours in ours.items() if recorded.get(name, is_ours) != is_ours]
        if not names:
            return ""
        told = ", ".join(f"{name} {recorded[name]}, here {ours[name]}" for name in names)
        return f" (it was recorded with {told})"


def _action(command: ActedCommand) -> Action | None:
    """What a replay does where a command acted; None where there is nothing to do."""
    if isinstance(command.action, _WITHOUT_EFFECT):
        return None
    if isinstance(command.action, Revert | Undo):
        return Stop()
    return command.action


def _way(line: list[str]) -> str:
    return f"run {line[0]}" if len(line) == 1 else f"the way {' → '.join(line)}"
