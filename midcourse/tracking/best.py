"""Best values of metrics whose good direction is plain from their name."""

import math
from collections.abc import Mapping

from pydantic import JsonValue

from midcourse.contract.directions import BEST_PREFIX, direction
from midcourse.tracking.tracker import Row


class BestValues:
    """The best value of each such metric and the step where it was reached."""

    def __init__(self) -> None:
        self._best: dict[str, float] = {}
        self._news: dict[str, JsonValue] = {}

    def see(self, row: Row) -> None:
        """Take a row into account."""
        for name, value in row.values.items():
            sign = direction(name)
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
