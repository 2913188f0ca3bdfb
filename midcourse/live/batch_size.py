"""`data.batch_size`: the samples of a step, changed between any two steps."""

from collections.abc import Callable, Collection

from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.errors import InvalidInput
from midcourse.contract.live_parameter import LiveParameter
from midcourse.feed import Feed
from midcourse.live.part import Changes, Part, Values, refuse
from midcourse.live.table import LiveTable

NAME = "data.batch_size"
RATE = "optimizer.lr"


class BatchSize(Part):
    """The size of the feed's next batch. With `scale_lr`, the learning rate follows it."""

    def __init__(self, feed: Feed, table: LiveTable) -> None:
        """Tie the parameter to a feed.

        Args:
            feed: whose batches have the size.
            table: of the run, by which the rate is scaled as any command would scale it.
        """
        self._feed = feed
        self._table = table

    def declarations(self) -> list[LiveParameter]:
        """The one."""
        return [BUILT_IN[NAME]]

    def read(self) -> Values:
        """The feed's."""
        return {NAME: self._feed.batch_size}

    def resolve(self, changes: Changes) -> Values:
        """The size itself, if there are as many samples, and a rate to scale where it is wanted."""
        change = changes[NAME]
        assert isinstance(change.value, int)
        try:
            self._feed.check_batch_size(change.value)
        except ValueError as error:
            raise refuse(NAME, str(error)) from None
        if change.ways["scale_lr"]:
            if RATE not in self._table.values():
                raise refuse(NAME, f"cannot scale the learning rate: this run has no {RATE}")
            try:
                self._table.check(self._scaling(change.value))
            except InvalidInput as error:
                reasons = "; ".join(str(fault) for fault in error.faults)
                raise refuse(NAME, f"cannot scale the learning rate: {reasons}") from None
        return {NAME: change.value}

    def check_beside(self, changes: Changes, others: Collection[str]) -> None:
        """The rate is either set or scaled."""
        if changes[NAME].ways["scale_lr"] and RATE in others:
            raise refuse(
                NAME,
                f"with scale_lr does not go together with {RATE} in one command: the rate would be "
                "both set and scaled; leave out one of them",
            )

    def apply(self, changes: Changes) -> Values:
        """Set it, and scale the rate if that was asked for."""
        size = changes[NAME].value
        assert isinstance(size, int)
        if changes[NAME].ways["scale_lr"] and size != self._feed.batch_size:
            self._table.apply(self._table.check(self._scaling(size)))
        self._feed.batch_size = size
        return {}

    def _scaling(self, size: int) -> dict[str, object]:
        return {RATE: {"value": size / self._feed.batch_size, "mode": "scale"}}

    def snapshot(self) -> Callable[[], None]:
        """Undo by setting the old size; the rate's own part puts the rate back."""
        old = self.state()
        return lambda: self.load_state(old)

    def state(self) -> int:
        """The size."""
        return self._feed.batch_size

    def load_state(self, state: int) -> None:
        """Take the size."""
        self._feed.batch_size = state
