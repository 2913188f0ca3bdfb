"""`plateau`: lowers the learning rate when a metric gets no better."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from midcourse.contract.commands import Action, SetParameters
from midcourse.policies.patience import Patience, PatientSettings
from midcourse.policies.policy import Policy

if TYPE_CHECKING:
    from midcourse.engine import Engine

RATE = "optimizer.lr"
_ROUNDING = 1e-6
"""A rate that is kept as a float32 tensor is read back rounded by about as much."""


class PlateauSettings(PatientSettings):
    """Lower the learning rate when the metric gets no better."""

    kind: Literal["plateau"]
    factor: float = Field(0.5, gt=0, lt=1)
    """What the rate is multiplied by."""
    min_lr: float = Field(0.0, ge=0)
    """The rate is never made lower than this; once it is there, the policy is quiet."""


class Plateau(Policy):
    """Scales `optimizer.lr`, after which patience begins anew."""

    def __init__(self, settings: PlateauSettings) -> None:
        super().__init__(settings.metric, name=settings.name or settings.kind, every=settings.every)
        self._settings = settings
        self._patience = Patience(settings)

    def see(self, step: int, value: float, run: "Engine") -> str | None:
        """Count the values that were no better."""
        if not self._patience.see(value):
            return None
        rate = _rate(run)
        if rate is not None and self._at_the_floor(rate):
            return None
        return self._patience.in_words(step, value)

    def propose(self, why: str, run: "Engine") -> tuple[Action, str] | None:
        """Lower the rate, as far as it may go."""
        rate, factor = _rate(run), self._settings.factor
        if rate is not None:
            if self._at_the_floor(rate):  # a scheduled command has just lowered it
                return None
            factor = max(factor, self._settings.min_lr / rate)
        return SetParameters(changes={RATE: {"value": factor, "mode": "scale"}}), why

    def _at_the_floor(self, rate: float) -> bool:
        return rate <= self._settings.min_lr * (1 + _ROUNDING)

    def state_dict(self) -> dict[str, Any]:
        """The best value, and how many came since."""
        return self._patience.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._patience.load_state_dict(state)


def _rate(run: "Engine") -> float | None:
    """The base rate; None where there is none, which the command's receipt will then say."""
    rate = run.parameters.values().get(RATE)
    return rate if isinstance(rate, float) else None
