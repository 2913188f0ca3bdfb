"""The Stop button of the page where a run is shown, as the run hears of it.

The tracker leaves a file when somebody has pressed it; from it comes a `stop` command like any
other, with the page as its actor. The file stays: a crash before the command is journalled loses
nothing, and one after it finds the command in the journal.
"""

from typing import Final

from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command, Stop
from midcourse.contract.paths import RunPaths
from midcourse.journal import Journal

ACTOR: Final = "W&B page"
"""W&B does not say who pressed it. Commands from tags on the page have the same actor."""


class StopWish:
    """Looks for the file of one run, and makes one command of it."""

    def __init__(self, paths: RunPaths, journal: Journal) -> None:
        self._file = paths.stop_wish
        self._journal = journal
        self.heard = False
        """Whether the file is there; it takes a look."""
        self._taken = False

    def look(self) -> bool:
        """Look for the file; True once, when it is found. Any thread."""
        if self.heard or not self._file.exists():
            return False
        self.heard = True
        return True

    def take(self, run: str) -> Command | None:
        """The command, once; None where nobody has pressed Stop, or it was dealt with."""
        if not self.heard or self._taken:
            return None
        self._taken = True
        acted = [intent.command for intent in self._journal.intents]
        refused = [refusal.command for refusal in self._journal.refusals]
        if any(_is_ours(command) for command in (*acted, *refused)):
            return None
        return Command(
            run=run,
            seq=min([0, *self._journal.seqs]) - 1,
            actor=ACTOR,
            accepted_at=utc_now(),
            action=Stop(),
            reason="the Stop button of the run's page was pressed",
        )


def _is_ours(command: Command) -> bool:
    """Whether it came from the button: a stop that the control API has numbered came from a tag."""
    return command.actor == ACTOR and command.seq < 0 and isinstance(command.action, Stop)
