"""What runs left on disk, as plain values: no file is open behind them, but those of pictures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from dashboards.series import Series
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.directions import direction
from midcourse.contract.media import Media
from midcourse.contract.names import checkpoint_step
from midcourse.contract.runs import Origin, RunFile, RunLabels, RunStatus, TrackingStatus


@dataclass(frozen=True)
class Intervention:
    """A row of the table `interventions`: one parameter, or layer, that a command concerns."""

    seq: int
    step: int | None
    """The boundary at which it acted; -1: before step 0; None: it reached none."""
    actor: str
    command: str
    parameter: str | None
    before: JsonValue
    after: JsonValue
    reason: str | None
    state: str
    detail: str | None
    time: datetime


@dataclass(frozen=True)
class MediaAt:
    """What was logged under a name at one step."""

    step: int
    media: Media


@dataclass(frozen=True)
class Attempt:
    """One start of a run's trainer."""

    number: int
    at: datetime
    next_step: int
    """The first step that it took."""


@dataclass(frozen=True)
class Best:
    """The best value of a metric and where it was first reached."""

    value: float
    step: int


@dataclass(frozen=True, eq=False)
class Run:
    """One run: what it is, what it logged, what was done to it."""

    file: RunFile
    folder: Path
    """Pictures are named relative to it."""
    status: RunStatus
    """As the log has it; a trainer that is gone without a word still counts as running."""
    reason: str | None = None
    last_step: int | None = None
    """The newest step that it logged something for; None: nothing yet."""
    total_steps: int | None = None
    attempts: tuple[Attempt, ...] = ()
    last_seen: datetime | None = None
    """When it said something for the last time."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """Metrics by name; live parameters that are numbers as `param/<name>`."""
    values: Mapping[str, JsonValue] = field(default_factory=dict)
    """Its live parameters as they were last."""
    interventions: tuple[Intervention, ...] = ()
    """In the order in which they ended; dry runs are not among them."""
    media: Mapping[str, tuple[MediaAt, ...]] = field(default_factory=dict)
    """By name, steps ascending. Of very many steps some are kept, the first and last always."""
    checkpoints: tuple[CheckpointRecord, ...] = ()
    """Those that were not deleted, by step."""
    summary: Mapping[str, JsonValue] = field(default_factory=dict)
    """Final values for people, given by the program."""
    notices: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the programs that wrote its newest checkpoint."""
    labels: RunLabels = field(default_factory=RunLabels)
    """What people call it by now; empty where nobody has called it anything since it was made."""
    tracking: TrackingStatus | None = None
    faults: tuple[str, ...] = ()
    """What of it could not be read, in words."""

    @property
    def id(self) -> str:
        """Its id, the one that W&B has too."""
        return self.file.id

    @property
    def experiment(self) -> str:
        """What is being found out; groups runs."""
        return self.file.experiment

    @property
    def name(self) -> str | None:
        """Its name as it is now; None: it has none."""
        return self.labels.name or self.file.name

    @property
    def label(self) -> str:
        """What people call it: its name with its id, or its id."""
        return f"{self.name} ({self.id})" if self.name else self.id

    @property
    def config(self) -> Mapping[str, JsonValue]:
        """What it was submitted with."""
        return self.file.config

    @property
    def origin(self) -> Origin | None:
        """Where it comes from; None: it began anew."""
        return self.file.origin

    @property
    def branched_at(self) -> int | None:
        """The last step that it shares with the run it comes from; None: it began anew."""
        return None if self.origin is None else checkpoint_step(self.origin.checkpoint)

    @property
    def begun(self) -> datetime | None:
        """When its first attempt began."""
        return self.attempts[0].at if self.attempts else None

    def best(self, metric: str) -> Best | None:
        """As W&B's summary has it under `best/<metric>`; None: its name tells no direction."""
        series = self.series.get(metric)
        found = series.best(direction(metric)) if series is not None else None
        return None if found is None else Best(*found)


@dataclass(frozen=True, eq=False)
class Experiment:
    """All runs of one experiment that logged something; the oldest first."""

    name: str
    runs: tuple[Run, ...]
    faults: tuple[str, ...] = ()
    """Runs of the home that could not be read, in words."""

    def run(self, run_id: str) -> Run | None:
        """The run of this id; None: it is not of this experiment, or is gone."""
        return next((run for run in self.runs if run.id == run_id), None)


def metric_names(runs: Iterable[Run]) -> list[str]:
    """Every metric that one of them logged, in alphabetical order."""
    return sorted({name for run in runs for name in run.series})
