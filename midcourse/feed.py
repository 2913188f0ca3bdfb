"""The feed: batches in our order, from the cursor on, epoch after epoch."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import torch

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.data import Cursor, Source, epoch_order
from midcourse.transfer import moved_ahead


class Feed:
    """Walks a source; the cursor, which checkpoints keep, says where it is.

    The size of the batches may change between any two of them. An epoch always ends with a batch
    that is known as its last (`is_epoch_end`), and then stands at its full number of samples, those
    left out counted: so no later size can bring the end about again.
    """

    def __init__(
        self,
        source: Source,
        cursor: Cursor,
        *,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        smallest_last: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """Set up a walk.

        Args:
            source: what is walked; its `batch_size` is that of the next batch.
            cursor: from where on.
            seed: of the order.
            shuffle: whether the order is random.
            drop_last: leave out what is left when no whole batch is.
            smallest_last: leave out what is left when it is fewer samples than this.
            device: where the batches go, each while the one before it is worked on.

        Raises:
            InvalidInput: an epoch would have no batch.
        """
        self._source = source
        self._cursor = cursor
        self._seed = seed
        self._shuffle = shuffle
        self._drop_last = drop_last
        self._smallest_last = smallest_last
        self._device = device
        self._length = len(source)
        if self._length == 0 or (drop_last and source.batch_size > self._length):
            raise InvalidInput(
                [Fault(path="data", message=f"has no whole batch: {self._length} samples")]
            )

    @property
    def is_epoch_end(self) -> bool:
        """Whether the batch in hand, the last that was given out, is the last of its epoch."""
        return self._cursor.samples >= self._length

    @property
    def batch_size(self) -> int:
        """Samples in the next batch."""
        return self._source.batch_size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._source.batch_size = size

    def check_batch_size(self, size: int) -> None:
        """Whether batches may have this size.

        Raises:
            ValueError: no epoch would have a batch.
        """
        if self._drop_last and size > self._length:
            raise ValueError(
                f"must be at most {self._length}, the samples of an epoch: incomplete batches are "
                "dropped, so there would be none"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch, at the present size."""
        return self._count(self._length)

    def steps_left(self, epochs: int) -> int:
        """Batches from the cursor to the end of so many epochs, at the present size."""
        whole_epochs = max(epochs - 1 - self._cursor.epoch, 0)
        return self._count(self._length - self._cursor.samples) + (
            whole_epochs * self.steps_per_epoch
        )

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
            if cursor.epoch + self.is_epoch_end >= epochs():
                return
            if self.is_epoch_end:
                cursor.epoch, cursor.samples = cursor.epoch + 1, 0
            place, size = moved(), self.batch_size
            # What was read ahead when the place or the size changes is thrown away here, and read
            # again: the cursor counts only what was given out.
            with closing(self._remaining()) as batches:
                for batch in batches:
                    yield batch
                    if moved() != place or self.batch_size != size:
                        break

    def _remaining(self) -> Generator[Any, None, None]:
        """The batches that are left of the epoch, each counted as it is given out."""
        cursor, size = self._cursor, self.batch_size
        left = self._length - cursor.samples
        end = self._length - self._left_out(left)
        order = epoch_order(self._seed, cursor.epoch, self._length, self._shuffle)
        batches = self._source.batches(cursor.epoch, order[cursor.samples : end])
        with closing(batches), closing(moved_ahead(batches, self._device)) as arriving:
            for batch in arriving:
                taken = cursor.samples + size
                cursor.samples = taken if taken < end else self._length
                yield batch

    def _left_out(self, remaining: int) -> int:
        """How many of the last samples of an epoch no batch holds.

        A rest that a change of the size left without a whole batch before it is not left out: the
        epoch has not ended yet, and it ends with a batch. It is no smaller than the batches were
        before the change, else it would have been left out by then.
        """
        rest = remaining % self.batch_size
        if rest == remaining:
            return 0
        return rest if rest < (self.batch_size if self._drop_last else self._smallest_last) else 0

    def _count(self, remaining: int) -> int:
        return -(-(remaining - self._left_out(remaining)) // self.batch_size)
