"""The shelf: which checkpoints of a run are published, and under which aliases."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from midcourse.contract.checkpoints import CheckpointReason, CheckpointRecord

BEST = "best"
LATEST = "latest"


@dataclass(frozen=True)
class Publication:
    """A checkpoint that belongs on the shelf."""

    record: CheckpointRecord
    aliases: tuple[str, ...]
    """The checkpoint's name, and `best` or `latest` where it is that."""


class Shelf:
    """Follows what a log says of checkpoints. It knows no server and no files."""

    def __init__(self, is_pinned: Callable[[str], bool] = lambda _: False) -> None:
        """An empty shelf.

        Args:
            is_pinned: whether somebody keeps a checkpoint: a fork that begins with it, a person.
        """
        self._is_pinned = is_pinned
        self._there: dict[str, CheckpointRecord] = {}
        self._gone_back_to: set[str] = set()

    def written(self, record: CheckpointRecord) -> None:
        """A checkpoint is on disk; a redo says so again."""
        self._there.setdefault(record.name, record)

    def deleted(self, name: str) -> None:
        """Retention removed it."""
        self._there.pop(name, None)

    def went_back_to(self, name: str) -> None:
        """A revert or an undo began with it, maybe with an ancestor's."""
        self._gone_back_to.add(name)

    def has(self, name: str) -> bool:
        """Whether a checkpoint is on disk, as far as the log says."""
        return name in self._there

    def now(self) -> list[Publication]:
        """What people need while the run trains: the best, and what other runs began with.

        The others come and go faster than they are uploaded.
        """
        best = self._best()
        return [
            Publication(record, (record.name, *((BEST,) if record is best else ())))
            for record in self._in_order()
            if record is best or self._is_kept(record.name)
        ]

    def at_the_end(self) -> list[Publication]:
        """What stays of a run: as `now`, and its last checkpoint, which stands last."""
        trained = self._trained()
        if not trained:
            return self.now()
        last = trained[-1]
        others = [each for each in self.now() if each.record is not last]
        aliases = (last.name, *((BEST,) if last is self._best() else ()), LATEST)
        return [*others, Publication(last, aliases)]

    def retired(self, published: Collection[str]) -> list[str]:
        """Which of those that were published are no longer kept on disk."""
        return sorted(set(published) - set(self._there))

    def _in_order(self) -> list[CheckpointRecord]:
        return sorted(self._there.values(), key=lambda record: record.step)

    def _trained(self) -> list[CheckpointRecord]:
        return [each for each in self._in_order() if each.reason is not CheckpointReason.INITIAL]

    def _best(self) -> CheckpointRecord | None:
        return next((record for record in reversed(self._trained()) if record.best), None)

    def _is_kept(self, name: str) -> bool:
        return name in self._gone_back_to or self._is_pinned(name)
