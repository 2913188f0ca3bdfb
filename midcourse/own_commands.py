"""Commands that a run gives itself: those of its policies, or of the journal that it replays."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from midcourse.contract.base import utc_now
from midcourse.contract.commands import Action, Command
from midcourse.journal import Journal


@dataclass(frozen=True)
class Proposal:
    """An action that a source wants to be carried out at the boundary at hand."""

    number: int
    """Counts the proposals of the source from 1; its state keeps the count."""
    action: Action
    actor: str
    """Such as `policy:plateau`."""
    reason: str | None = None


class Source(Protocol):
    """Where a run's own commands come from."""

    def next_step(self) -> int | None:
        """The next step at whose boundary it has something to propose, as far as it knows."""

    def take(self, step: int) -> Proposal | None:
        """The next proposal for the boundary of this step, which is then taken; or None."""

    def state_dict(self) -> dict[str, Any]:
        """What it has seen and proposed, as plain data: part of every checkpoint."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""


class OwnCommands:
    """Makes commands of proposals, numbered downwards from -1.

    A source decides by what it has seen of the training, so after a crash it proposes again what
    it proposed before. What the journal has from then is left out here: a redo sees to it.
    """

    def __init__(self, find_journal: Callable[[], Journal], source: Source) -> None:
        self._find_journal = find_journal
        self._source = source

    def next_step(self) -> int | None:
        """The next step at whose boundary there is something to take, as far as is known."""
        return self._source.next_step()

    def take(self, run: str, step: int) -> Command | None:
        """The next command of a run for the boundary of this step, or None."""
        while (proposal := self._source.take(step)) is not None:
            journal = self._find_journal()
            seq = -proposal.number
            if journal.knows(seq, proposal.actor, step):
                continue
            if seq in journal.seqs:  # a redo that was not exact: it must not hide a new proposal
                seq = min(journal.seqs) - 1
            return Command(
                run=run,
                seq=seq,
                actor=proposal.actor,
                accepted_at=utc_now(),
                action=proposal.action,
                reason=proposal.reason,
            )
        return None
