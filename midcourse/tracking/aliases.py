"""Aliases of checkpoints that are at W&B already: given there, with no second upload."""

from collections.abc import Sequence
from functools import partial

from midcourse.tracking.errands import Errands, Undone
from midcourse.tracking.wandb_remote import Remote


class Aliases:
    """Which checkpoint each alias is to be at, when all that is uploaded has arrived.

    They are given after that: each upload takes `latest` with it when it arrives.
    """

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._to_name: set[str] = set()

    def uploaded(self, name: str, aliases: Sequence[str]) -> None:
        """A checkpoint is on its way with these."""
        self._holders |= dict.fromkeys(aliases, name)

    def wanted(self, name: str, aliases: Sequence[str]) -> None:
        """One that is there, or on its way already, is to have these."""
        self._holders |= dict.fromkeys(aliases, name)
        self._to_name.add(name)

    def give(self, remote: Remote, seconds: float) -> list[Undone]:
        """Give what is wanted, as far as it is by now.

        Args:
            remote: the run at the server.
            seconds: how long to try.

        Returns:
            What could not be given.
        """
        errands = Errands()
        for name in sorted(self._to_name):
            aliases = sorted(alias for alias, held_by in self._holders.items() if held_by == name)
            what = f"checkpoint {name} not called {', '.join(aliases)}"
            errands.add(what, partial(remote.name_checkpoint, name, aliases))
        return errands.finish(seconds)
