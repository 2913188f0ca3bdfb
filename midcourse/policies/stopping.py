"""`early_stop` and `target`: stop when nothing gets better, or when it is good enough."""

import math
from typing import TYPE_CHECKING, Any, Literal

from midcourse.contract.commands import Action, Stop
from midcourse.policies.patience import Patience, PatientSettings
from midcourse.policies.policy import Mode, Policy, Settings, shown

if TYPE_CHECKING:
    from midcourse.engine import Engine


class EarlyStopSettings(PatientSettings):
    """Stop when the metric gets no better."""

    kind: Literal["early_stop"]


class EarlyStop(Policy):
    """Stops the run when patience is over."""

    def __init__(self, settings: EarlyStopSettings) -> None:
        super().__init__(settings.metric, name=settings.name or settings.kind, every=settings.every)
        self._patience = Patience(settings)

    def see(self, step: int, value: float, run: "Engine") -> str | None:
        """Count the values that were no better."""
        del run
        return self._patience.in_words(step, value) if self._patience.see(value) else None

    def propose(self, why: str, run: "Engine") -> tuple[Action, str] | None:
        """Stop."""
        del run
        return Stop(), why

    def state_dict(self) -> dict[str, Any]:
        """The best value, and how many came since."""
        return self._patience.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._patience.load_state_dict(state)


class TargetSettings(Settings):
    """Stop when the metric has reached a value."""

    kind: Literal["target"]
    mode: Mode
    """`max`: reached at `value` or above; `min`: at `value` or below."""
    value: float


class Target(Policy):
    """Stops the run when it is good enough."""

    def __init__(self, settings: TargetSettings) -> None:
        super().__init__(settings.metric, name=settings.name or settings.kind, every=settings.every)
        self._settings = settings

    def see(self, step: int, value: float, run: "Engine") -> str | None:
        """Compare; what is not finite reaches nothing."""
        del run
        goal, upward = self._settings.value, self._settings.mode == "max"
        if not math.isfinite(value) or (value < goal if upward else value > goal):
            return None
        reached = f"at {'least' if upward else 'most'} {shown(goal)}"
        return f"{self.metric} is {shown(value)} at step {step}: {reached}, as was asked for"

    def propose(self, why: str, run: "Engine") -> tuple[Action, str] | None:
        """Stop."""
        del run
        return Stop(), why

    def state_dict(self) -> dict[str, Any]:
        """Nothing: it compares each value by itself."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""
