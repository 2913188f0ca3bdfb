"""How often something happens: every so many steps, or every so many epochs."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

_PATTERN = re.compile(r"\s*([0-9]{1,15})\s+(step|epoch)s?\s*", re.ASCII)


@dataclass(frozen=True)
class Interval:
    """`count` steps or epochs. Counted from the start of the branch, so a resume keeps the beat."""

    count: int
    """At least 1."""
    unit: Literal["steps", "epochs"]

    @staticmethod
    @lru_cache(maxsize=256)
    def parse(text: str) -> "Interval":
        """Read `"100 steps"`, `"1 epoch"` and the like.

        Raises:
            ValueError: in one sentence, what is allowed.
        """
        found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        count = int(found[1]) if found else 0
        if not found or count < 1:
            raise ValueError(
                f'must be an interval such as "100 steps" or "1 epoch", with a whole number '
                f"of at least 1, not {str(text)[:40]!r}"
            )
        return Interval(count, "steps" if found[2] == "step" else "epochs")

    def due(self, *, step: int, epoch: int, is_epoch_end: bool) -> bool:
        """Whether the step in progress completes the interval.

        Args:
            step: the step in progress, counted from 0: "100 steps" is due at 99, 199, …
            epoch: its epoch, counted from 0.
            is_epoch_end: whether it uses the last batch of its epoch.
        """
        if self.unit == "steps":
            return (step + 1) % self.count == 0
        return is_epoch_end and (epoch + 1) % self.count == 0

    def __str__(self) -> str:
        return f"{self.count} {self.unit if self.count > 1 else self.unit[:-1]}"
