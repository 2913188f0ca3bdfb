"""Patience: how many values in a row may be no better than the best."""

import math
from typing import Any

from pydantic import Field

from midcourse.policies.policy import Mode, Settings, shown


class PatientSettings(Settings):
    """Of policies that act when a metric gets no better."""

    mode: Mode = "min"
    """Whether less or more of the metric is better."""
    patience: int = Field(ge=1, le=1_000_000)
    """Acts at the so many-th value in a row that is no better than the best."""
    min_delta: float = Field(0.0, ge=0)
    """A value is better only if it differs from the best by more than this."""


class Patience:
    """The best value so far, and how many have come since."""

    def __init__(self, settings: PatientSettings) -> None:
        self._settings = settings
        self.best: float | None = None
        self.waited = 0

    def see(self, value: float) -> bool:
        """Take a value; True when patience is over, and begins anew.

        One that is not finite is never better.
        """
        better = self._better(value)
        if better:
            self.best = value
        over = not better and self.waited + 1 >= self._settings.patience
        self.waited = 0 if better or over else self.waited + 1
        return over

    def in_words(self, step: int, value: float) -> str:
        """Why patience is over, for people."""
        best = "no finite value yet" if self.best is None else shown(self.best)
        count = self._settings.patience
        return (
            f"{self._settings.metric} is {shown(value)} at step {step}: "
            f"{count} {'values' if count > 1 else 'value'} in a row no better than {best}"
        )

    def _better(self, value: float) -> bool:
        if not math.isfinite(value) or self.best is None:
            return math.isfinite(value)
        gain = self.best - value if self._settings.mode == "min" else value - self.best
        return gain > self._settings.min_delta

    def state_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.best, self.waited = state["best"], state["waited"]
