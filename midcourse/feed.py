"""The feed: batches in our order, from the cursor on, epoch after epoch."""

from collections.abc import Callable, Iterator
from typing import Any

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.data import Cursor, Source, epoch_order


class Feed:
    """Walks a source; the cursor, which checkpoints keep, says where it is."""

    def __init__(
        self, source: Source, cursor: Cursor, *, seed: int, shuffle: bool, drop_last: bool
    ) -> None:
        self._source = source
        self._cursor = cursor
        self._seed = seed
        self._shuffle = shuffle
        self._length = len(source)
        if drop_last:
            self._length -= self._length % source.batch_size
        if self._length == 0:
            raise InvalidInput(
                [Fault(path="data", message=f"has no whole batch: {len(source)} samples")]
            )
        self.is_epoch_end = False
        """Whether the batch in hand is the last of its epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return -(-self._length // self._source.batch_size)

    def walk(self, epochs: Callable[[], int], moved: Callable[[], int]) -> Iterator[Any]:
        """Yield batches until `epochs()` epochs are done.

        Args:
            epochs: asked at each epoch's end, as the limit may change.
            moved: a count that goes up when the cursor was set from outside (a revert); the walk
                then goes on from there.
        """
        cursor = self._cursor
        while True:
            # At an epoch's end the cursor stays where it is until there is a next epoch, so that
            # the state there is the same whether or not one follows.
            at_end = cursor.samples >= self._length
            if cursor.epoch + at_end >= epochs():
                return
            if at_end:
                cursor.epoch, cursor.samples = cursor.epoch + 1, 0
            order = epoch_order(self._seed, cursor.epoch, len(self._source), self._shuffle)
            remaining = order[cursor.samples : self._length]
            place = moved()
            for batch in self._source.batches(cursor.epoch, remaining):
                taken = min(self._source.batch_size, self._length - cursor.samples)
                cursor.samples += taken
                self.is_epoch_end = cursor.samples >= self._length
                yield batch
                if moved() != place:
                    break
