"""Keeps what is published of a run's checkpoints in step with what is kept on disk."""

from collections.abc import Callable

from midcourse.contract.paths import RunPaths
from midcourse.tracking.keepsakes import CheckpointGone, stage
from midcourse.tracking.shelf import LATEST, Publication, Shelf
from midcourse.tracking.tracker import Tracker


class Publisher:
    """Publishes by one tracker, each checkpoint once for each set of aliases."""

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

    def look(self) -> None:
        """Publish the next checkpoint that is wanted by now, and let go of what is not kept."""
        for publication in self._shelf.now():
            if not self._is_there(publication):
                self._publish(publication)
                return  # rows do not wait for more than one
        for name in self._shelf.retired(self._published):
            del self._published[name]
            self._tracker.retire(name)

    def finish(self, check: Callable[[], None]) -> list[str]:
        """Publish what stays and is not there; the last checkpoint comes last, as `latest`.

        What is there already is left alone: with it went the journal, which has grown since.

        Args:
            check: called before each.

        Returns:
            The names of those that are there now.
        """
        published = []
        for publication in self._shelf.at_the_end():
            check()
            if self._is_there(publication) or self._publish(publication):
                published.append(publication.record.name)
        return published

    def _is_there(self, publication: Publication) -> bool:
        there = self._published.get(publication.record.name)
        return there is not None and there >= set(publication.aliases)

    def _publish(self, publication: Publication) -> bool:
        record = publication.record
        self._published = {  # aliases move, and `latest` by itself
            name: aliases - {LATEST, *publication.aliases}
            for name, aliases in self._published.items()
        }
        self._published[record.name] = frozenset(publication.aliases)
        try:
            folder = stage(self._paths, record.name)
        except CheckpointGone as error:
            self._note(str(error))
            return False
        self._tracker.checkpoint(record, folder, publication.aliases)
        return True
