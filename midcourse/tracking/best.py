"""Best values of metrics whose good direction is plain from their name."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pydantic import JsonValue

from midcourse.tracking.interventions import PARAMETER_PREFIX
from midcourse.tracking.tracker import Row

BEST_PREFIX: Final = "best/"
_LOWER: Final = ("loss", "error", "perplexity", "mae", "mse", "rmse")
_HIGHER: Final = ("accuracy", "acc", "precision", "recall", "f1", "auroc", "auc", "map", "iou")


class BestValues:
    """The best value of each such metric and the step where it was reached."""

    def __init__(self) -> None:
        self._best: dict[str, float] = {}
        self._news: dict[str, JsonValue] = {}

    def see(self, row: Row) -> None:
        """Take a row into account."""
        for name, value in row.values.items():
            sign = _sign(name)
            if not sign or not math.isfinite(value):
                continue
            if name not in self._best or sign * value > sign * self._best[name]:
                self._best[name] = value
                self._news[BEST_PREFIX + name] = value
                self._news[f"{BEST_PREFIX}{name}_step"] = row.step

    def news(self) -> Mapping[str, JsonValue]:
        """Summary values that changed since the last call."""
        news, self._news = self._news, {}
        return news


@lru_cache(maxsize=4096)
def _sign(name: str) -> int:
    """1 where higher is better, -1 where lower is, 0 where the name does not say."""
    words = name.lower().replace("/", "_").replace("-", "_").split("_")
    if name.startswith(PARAMETER_PREFIX) or "batch" in words:
        return 0  # set by people; or noise, whose extreme says nothing
    if any(word in _LOWER for word in words):
        return -1
    return 1 if any(word in _HIGHER for word in words) else 0
