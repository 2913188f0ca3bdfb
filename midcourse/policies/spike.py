"""`spike`: pauses or alerts when a metric jumps far above what it was lately."""

import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from midcourse.contract.commands import Action, Alert, Pause
from midcourse.policies.policy import Policy, Settings, shown

if TYPE_CHECKING:
    from midcourse.engine import Engine

_MAD_TO_SIGMA = 1.4826
_MEAN_TO_SIGMA = 1.253314
"""Of normally distributed values, the standard deviation is so many times the median, and the mean,
of the absolute deviations. The second stands in where the first is 0, as Iglewicz and Hoaglin have
it: How to Detect and Handle Outliers, 1993."""


class SpikeSettings(Settings):
    """Pause or alert when the metric jumps up."""

    kind: Literal["spike"]
    window: int = Field(50, ge=4, le=1000)
    """How many earlier values a new one is compared with; no alarm before there are so many."""
    threshold: float = Field(6.0, gt=0)
    """How many robust standard deviations above the window's median a value may be."""
    then: Literal["pause", "alert"] = "alert"
    """`alert` says it to people, and the run goes on; `pause` holds it until somebody resumes."""
    cooldown: int = Field(50, ge=0, le=1_000_000_000)
    """So many steps after an alarm there is no other."""


class Spike(Policy):
    """Compares each value with the median of those before it. What is not finite it passes over."""

    def __init__(self, settings: SpikeSettings) -> None:
        super().__init__(settings.metric, name=settings.name or settings.kind, every=settings.every)
        self._settings = settings
        self._window: deque[float] = deque(maxlen=settings.window)
        self._quiet_until = -1
        """The last step of the cooldown."""

    def see(self, step: int, value: float, run: "Engine") -> str | None:
        """Compare, then take the value into the window: a new level becomes the usual one."""
        del run
        if not math.isfinite(value):
            return None
        full = len(self._window) == self._settings.window
        jump = height(value, self._window) if full and step > self._quiet_until else 0.0
        middle = median(self._window) if full else 0.0
        self._window.append(value)
        if not jump > self._settings.threshold:  # values near the largest float leave NaN
            return None
        self._quiet_until = step + self._settings.cooldown
        return (
            f"{self.metric} is {shown(value)} at step {step}: {jump:.1f} robust standard "
            f"deviations above {shown(middle)}, the median of the {self._settings.window} values "
            "before"
        )

    def propose(self, why: str, run: "Engine") -> tuple[Action, str] | None:
        """Pause, or say it."""
        del run
        return (Pause() if self._settings.then == "pause" else Alert(message=why)), why

    def state_dict(self) -> dict[str, Any]:
        """The window and the cooldown."""
        return {"window": list(self._window), "quiet_until": self._quiet_until}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; of another window's values the newest are taken."""
        self._window.clear()
        self._window.extend(state["window"])
        self._quiet_until = state["quiet_until"]


def height(value: float, window: Iterable[float]) -> float:
    """How many robust standard deviations a value is above the median of a window.

    Returns:
        (value - median) / (1.4826 MAD), and 0 for a value that is not above the median. Where more
        than half of the values are equal, so that the MAD is 0, the mean absolute deviation
        measures instead; where all are equal there is no measure, and the answer is 0.
    """
    values = list(window)
    middle = median(values)
    if value <= middle:
        return 0.0
    deviations = [abs(each - middle) for each in values]
    sigma = _MAD_TO_SIGMA * median(deviations)
    if sigma == 0:
        sigma = _MEAN_TO_SIGMA * sum(deviations) / len(deviations)
    return (value - middle) / sigma if sigma > 0 else 0.0


def median(values: Iterable[float]) -> float:
    """The middle of the sorted values, or the mean of the two in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
