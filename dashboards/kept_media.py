"""Which media of a run are kept to be shown: a few of each name, spread evenly over the steps."""

from dataclasses import dataclass, field
from typing import Final

from dashboards.records import MediaAt
from midcourse.contract.media import Media

MOST_STEPS: Final = 16
"""A confusion matrix of each of a thousand evaluations would fill the memory and help nobody."""


@dataclass
class _Kept:
    """The media of one name: every `stride`-th that was logged, and the newest."""

    stride: int = 1
    count: int = 0
    highest: int = -1
    spread: list[MediaAt] = field(default_factory=list)
    newest: MediaAt | None = None

    def add(self, item: MediaAt) -> None:
        if item.step <= self.highest:
            return  # a redo says again what was said
        self.highest, self.newest = item.step, item
        if self.count % self.stride == 0:
            self.spread.append(item)
        self.count += 1
        if len(self.spread) >= MOST_STEPS:
            self.spread = self.spread[::2]
            self.stride *= 2

    def all(self) -> tuple[MediaAt, ...]:
        assert self.newest is not None
        if self.spread and self.spread[-1] is self.newest:
            return tuple(self.spread)
        return (*self.spread, self.newest)


class KeptMedia:
    """Takes all media of a run and keeps `MOST_STEPS` of each name at most."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def add(self, name: str, step: int, media: Media) -> None:
        """Take what was logged; of a step that is said again, the first counts."""
        self._kept.setdefault(name, _Kept()).add(MediaAt(step, media))

    def by_name(self) -> dict[str, tuple[MediaAt, ...]]:
        """What was kept of each name, steps ascending: the first and the newest among them."""
        return {name: kept.all() for name, kept in self._kept.items()}
