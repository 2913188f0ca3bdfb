"""Gathers what a run logs into one row a step, and lets the rows go in strictly growing order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from midcourse.contract.media import Media
from midcourse.tracking.marked_curve import MarkedCurve
from midcourse.tracking.tracker import Row


@dataclass
class _Gathered:
    time: float
    values: dict[str, float] = field(default_factory=dict)
    media: dict[str, Media | MarkedCurve] = field(default_factory=dict)

    def row(self, position: int, step: int) -> Row:
        return Row(position, step, self.time, self.values, self.media)


class RowQueue:
    """Holds back the newest row until something shows that it is complete.

    A tracker such as W&B takes each position once, in growing order, so a row must be whole when it
    goes. What is decided here follows from the order of the log's records alone, never from when
    they are read: a tracker that reads the log again makes the same rows.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, _Gathered] = {}
        self._late: dict[int, _Gathered] = {}
        self._highest: dict[str, int] = {}
        self.newest = -1
        """The highest step that the run itself has logged something for."""
        self.gone = -1
        """The highest position that has been let go; -1 where none was."""

    def add(
        self,
        step: int,
        time: float,
        values: Mapping[str, float],
        media: Mapping[str, Media | MarkedCurve],
    ) -> list[Row]:
        """Take what the run logged at a step; the first value of each (name, step) is kept.

        Returns:
            The rows that are complete by this: all of earlier steps.
        """
        fresh = {name: value for name, value in values.items() if self._is_new(name, step)}
        shown = {name: item for name, item in media.items() if self._is_new(name, step)}
        if fresh or shown:
            place = self._late if step <= self.gone else self._waiting
            gathered = place.setdefault(step, _Gathered(time))
            gathered.time = time  # what the run logged says when, not what was said about it before
            gathered.values |= fresh
            gathered.media |= shown
        self.newest = max(self.newest, step)
        return self.settle(self.newest - 1)

    def annotate(
        self,
        step: int,
        time: float,
        values: Mapping[str, float],
        media: Mapping[str, Media | MarkedCurve],
    ) -> None:
        """Add what is said about a step by others than the run; too late is left out.

        Later values replace earlier ones, and no row becomes complete by it.
        """
        if step > self.gone and (values or media):
            gathered = self._waiting.setdefault(step, _Gathered(time))
            gathered.values |= values
            gathered.media |= media

    def time_of(self, step: int) -> float | None:
        """When a row that waits was logged; None where none waits for this step."""
        gathered = self._waiting.get(step)
        return None if gathered is None else gathered.time

    def settle(self, step: int) -> list[Row]:
        """Let go of all rows up to and including `step`."""
        steps = sorted(waiting for waiting in self._waiting if waiting <= step)
        self.gone = max([self.gone, *steps])
        return [self._waiting.pop(ready).row(ready, ready) for ready in steps]

    def close(self) -> list[Row]:
        """Let go of everything, at the end of the run.

        What came after its step's row had gone stands behind all other rows, in rows of its own
        under its true step.
        """
        rows = self.settle(max(self._waiting, default=-1))
        for step in sorted(self._late):
            self.gone += 1
            rows.append(self._late.pop(step).row(self.gone, step))
        return rows

    def _is_new(self, name: str, step: int) -> bool:
        """Whether a step is beyond all that this metric was logged for; a redo repeats steps."""
        if step <= self._highest.get(name, -1):
            return False
        self._highest[name] = step
        return True
