"""Keeps what is published of a run's checkpoints in step with what is kept on disk."""

from collections.abc import Callable, Collection

from midcourse.contract.paths import RunPaths
from midcourse.tracking.keepsakes import CheckpointGone, stage
from midcourse.tracking.shelf import LATEST, Publication, Shelf
from midcourse.tracking.tracker import Tracker


class Publisher:
    """Publishes by one tracker, each checkpoint once; aliases that come later are added there."""

    def __init__(
        self, paths: RunPaths, shelf: Shelf, tracker: Tracker, note: Callable[[str], None]
    ) -> None:
        """Ask what an earlier tracker has published.

        Args:
            paths: of the run.
            shelf: what belongs there.
            tracker: where it goes.
            note: told what could not be published.
        """
        self._paths = paths
        self._shelf = shelf
        self._tracker = tracker
        self._note = note
        self._published = {name: frozenset(there) for name, there in tracker.published().items()}
        self._gone: set[str] = set()
        """Those that were not whole on disk; only the end looks for them once more."""

    def look(self) -> None:
        """Publish the next checkpoint that is wanted by now, and let go of what is not kept."""
        for publication in self._shelf.now():
            name = publication.record.name
            if name in self._published:
                self._name(publication)
            elif name not in self._gone:
                self._publish(publication)
                return  # rows do not wait for more than one
        for name in self._shelf.retired(self._published):
            del self._published[name]
            self._tracker.retire(name)

    def finish(self, check: Callable[[], None]) -> list[str]:
        """Publish what stays and is not there; the last checkpoint comes last, as `latest`.

        What is there already is not uploaded again, though its journal has grown since: it would be
        a second version of one checkpoint.

        Args:
            check: called before each.

        Returns:
            The names of those that are there now.
        """
        published = []
        for publication in self._shelf.at_the_end():
            check()
            name = publication.record.name
            if name in self._published:
                self._name(publication)
                published.append(name)
            elif self._publish(publication):
                published.append(name)
        return published

    def _name(self, publication: Publication) -> None:
        """Add the aliases that a checkpoint which is there has not got yet."""
        name = publication.record.name
        if new := set(publication.aliases) - self._published[name]:
            there = self._published[name] | new
            self._move(new)
            self._published[name] = there
            self._tracker.name_checkpoint(name, publication.aliases)

    def _move(self, aliases: Collection[str]) -> None:
        """Take aliases from whatever has them: each is at one place."""
        self._published = {name: had - {*aliases} for name, had in self._published.items()}

    def _publish(self, publication: Publication) -> bool:
        record = publication.record
        try:
            folder = stage(self._paths, record.name)
        except CheckpointGone as error:
            self._gone.add(record.name)
            self._note(str(error))
            return False
        self._move({LATEST, *publication.aliases})  # `latest` moves by itself
        self._published[record.name] = frozenset(publication.aliases)
        self._tracker.checkpoint(record, folder, publication.aliases)
        return True
