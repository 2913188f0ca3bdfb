"""What panels are drawn from: the page, and the records of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dashboards.html.colours import colour
from dashboards.panels import Page
from dashboards.records import Run

MOST_PICTURE_BYTES: Final = 12_000_000
"""Of all pictures of a page: more would make a file that mail refuses."""


@dataclass
class Budget:
    """How many bytes of pictures may still go into the file."""

    bytes_left: int


@dataclass(frozen=True)
class Source:
    """A page with the records of the runs that it names."""

    page: Page
    runs: Mapping[str, Run]
    points: int
    """How many points a line may have."""
    pictures: Budget = field(default_factory=lambda: Budget(MOST_PICTURE_BYTES))

    @property
    def has_many_runs(self) -> bool:
        """Whether it must be said whose a thing is."""
        return len(self.page.runs) > 1

    def run(self, run_id: str) -> Run:
        """The record of a run of the page."""
        return self.runs[run_id]

    def of(self, ids: Sequence[str]) -> list[Run]:
        """The records of some runs."""
        return [self.runs[run_id] for run_id in ids]

    def label(self, run_id: str) -> str:
        """What the page calls a run."""
        return next((run.label for run in self.page.runs if run.id == run_id), run_id)

    def index(self, run_id: str) -> int:
        """A run's place on the page."""
        return next(index for index, run in enumerate(self.page.runs) if run.id == run_id)

    def colour(self, run_id: str) -> str:
        """The classes of a run's colour."""
        return colour(self.index(run_id))
