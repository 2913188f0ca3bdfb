"""When checkpoints are due: on their interval, and when the watched metric was never better."""

from midcourse.checkpointer import BestSoFar
from midcourse.contract.checkpoints import CheckpointReason
from midcourse.interval import Interval

_NEVER = 1 << 62


class CheckpointSchedule:
    """Says why a step's boundary takes a checkpoint; most steps need not ask."""

    def __init__(self, every: Interval | None, best: BestSoFar | None) -> None:
        self._every = every
        self._best = best
        self.next_look = 0
        """The first step at whose boundary `reason` may have something to say."""

    def look_again(self) -> None:
        """Something happened (an epoch's end, a new best value, a revert): ask at the next step."""
        self.next_look = 0

    def reason(self, *, step: int, epoch: int, is_epoch_end: bool) -> CheckpointReason | None:
        """Why the step in progress completes with a checkpoint; None if it does not."""
        every = self._every
        if every is not None and every.unit == "steps":
            self.next_look = ((step + 1) // every.count + 1) * every.count - 1
        else:
            self.next_look = _NEVER
        if self._best is not None and self._best.improved:
            return CheckpointReason.BEST
        if every is not None and every.due(step=step, epoch=epoch, is_epoch_end=is_epoch_end):
            return CheckpointReason.SCHEDULE
        return None
