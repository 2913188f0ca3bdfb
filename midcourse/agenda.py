"""The agenda: what is due at which step's boundary. Most steps need not ask."""

from collections.abc import Callable

from midcourse.checkpointer import BestSoFar
from midcourse.contract.checkpoints import CheckpointReason
from midcourse.contract.commands import Command
from midcourse.contract.interval import Interval

_NEVER = 1 << 62


class Agenda:
    """Checkpoints, scheduled commands, the end of "run N steps", and the run's own commands."""

    def __init__(self, checkpoint_every: Interval | None, best: BestSoFar | None) -> None:
        self._every = checkpoint_every
        self._best = best
        self.next_look = 0
        """The first step at whose boundary anything may be due."""
        self.pause_after: int | None = None
        """The step after which the run is to pause, as a `resume` with steps asked for."""
        self.waiting: list[Command] = []
        """Scheduled commands that have not acted, in order of their numbers."""
        self.upcoming: Callable[[], int | None] = lambda: None
        """The next step at which the run gives itself a command (a replay does)."""

    @property
    def checkpoint_every(self) -> str | None:
        """How often a checkpoint is taken: the live parameter of this name."""
        return None if self._every is None else str(self._every)

    @checkpoint_every.setter
    def checkpoint_every(self, text: str | None) -> None:
        self._every = None if text is None else Interval.parse(text)
        self.look_again()

    def look_again(self) -> None:
        """Something happened (an epoch's end, a new best value, a revert): ask at the next step."""
        self.next_look = 0

    def pause_at(self, step: int | None) -> None:
        """Pause at the boundary of a step, or, with None, at none."""
        self.pause_after = step
        self.look_again()

    def begin(self, waiting: list[Command], pause_after: int | None) -> None:
        """Take up what a run's journal says is to come."""
        self.waiting = list(waiting)
        self.pause_at(pause_after)

    def add(self, command: Command) -> None:
        """Have a command wait for its step."""
        self.waiting.append(command)
        self.waiting.sort(key=lambda waiting: waiting.seq)
        self.look_again()

    def remove(self, seq: int) -> Command | None:
        """Take a waiting command away; None if it does not wait."""
        for command in self.waiting:
            if command.seq == seq:
                self.waiting.remove(command)
                return command
        return None

    def clear(self) -> list[Command]:
        """Take all waiting commands away."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def take_due(self, step: int, epoch: int, is_epoch_end: bool) -> Command | None:
        """The next waiting command that is due at this boundary, or None."""
        for command in self.waiting:
            if is_due(command, step, epoch, is_epoch_end):
                self.waiting.remove(command)
                return command
        return None

    def something_is_due(self, step: int, epoch: int, is_epoch_end: bool) -> bool:
        """Whether the boundary of the step in progress has something to do beside checkpoints."""
        upcoming = self.upcoming()
        return (
            (self.pause_after is not None and step >= self.pause_after)
            or (upcoming is not None and step >= upcoming)
            or any(is_due(command, step, epoch, is_epoch_end) for command in self.waiting)
        )

    def plan_look(self, step: int) -> None:
        """Work out when to look again after this step; `look_again` makes it earlier."""
        steps = [command.at.step for command in self.waiting if command.at is not None]
        later = [at for at in (*steps, self.pause_after, self.upcoming()) if at is not None]
        if self._every is not None and self._every.unit == "steps":
            count = self._every.count
            later.append(((step + 1) // count + 1) * count - 1)
        self.next_look = max(min(later, default=_NEVER), step + 1)

    def checkpoint_due(self, step: int, epoch: int, is_epoch_end: bool) -> CheckpointReason | None:
        """Why the step in progress completes with a checkpoint; None if it does not."""
        if self._best is not None and self._best.improved:
            return CheckpointReason.BEST
        every = self._every
        if every is not None and every.due(step=step, epoch=epoch, is_epoch_end=is_epoch_end):
            return CheckpointReason.SCHEDULE
        return None


def is_due(command: Command, step: int, epoch: int, is_epoch_end: bool) -> bool:
    """Whether a scheduled command acts at the boundary at which `step` is complete.

    Args:
        command: one with an `at`.
        step: the last step completed.
        epoch: its epoch.
        is_epoch_end: whether it was the last of its epoch.
    """
    at = command.at
    assert at is not None
    if at.step is not None:
        return step >= at.step
    assert at.epoch is not None
    return epoch > at.epoch or (epoch == at.epoch and is_epoch_end)


def is_past(command: Command, step: int, epoch: int) -> bool:
    """Whether the boundary at which a scheduled command should have acted lies behind."""
    at = command.at
    assert at is not None
    if at.step is not None:
        return step > at.step
    assert at.epoch is not None
    return epoch > at.epoch
