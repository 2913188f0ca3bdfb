"""What a tracker is: the few verbs by which a run's log is shown somewhere."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.datasets import Dataset
from midcourse.contract.journal_file import JournalHeader
from midcourse.contract.media import Media
from midcourse.contract.runs import Origin, RunLabels, RunStatus
from midcourse.tracking.alerts import Alert
from midcourse.tracking.marked_curve import MarkedCurve
from midcourse.tracking.missing import Expected, Missing


@dataclass(frozen=True)
class Row:
    """Everything that was logged at one step."""

    position: int
    """Where the row stands in the tracker: grows from row to row. The step, but for late rows."""
    step: int
    """The training step; the x-axis of every chart."""
    time: float
    """When it was logged, in seconds since 1970."""
    values: Mapping[str, float] = field(default_factory=dict)
    media: Mapping[str, Media | MarkedCurve] = field(default_factory=dict)


class Tracker(Protocol):
    """Where one run is shown. Calls come in log order, from one thread."""

    first_position: int
    """Rows below this position are there already, from an earlier tracker of the same run."""
    publishes_live: bool
    """Whether checkpoints go there while the run trains, not only at its end."""

    def describe(self, about: Mapping[str, JsonValue]) -> None:
        """Replace what is known about the run: attempt, origin, live parameter values."""

    def log(self, row: Row) -> None:
        """Show one row; `row.position` is above that of every row before."""

    def summarize(self, values: Mapping[str, JsonValue]) -> None:
        """Set values that stand for the whole run, by name; others stay."""

    def checkpoint(self, record: CheckpointRecord, folder: Path, aliases: Sequence[str]) -> None:
        """Keep the files of a checkpoint. `folder` stays as it is from now on."""

    def name_checkpoint(self, name: str, aliases: Sequence[str]) -> None:
        """Give a checkpoint that is there already these aliases, and its files no second time."""

    def published(self) -> Mapping[str, Collection[str]]:
        """The checkpoints that an earlier tracker of the run has published, with their aliases."""

    def retire(self, name: str) -> None:
        """Let go of a checkpoint that retention has deleted."""

    def use_checkpoint(self, origin: Origin) -> None:
        """The run begins with a checkpoint of another."""

    def use_dataset(self, dataset: Dataset) -> None:
        """The run trains on this."""

    def journal(self, header: JournalHeader, file: Path) -> None:
        """Keep the run's exported journal. `file` stays as it is from now on."""

    def alert(self, alert: Alert) -> None:
        """Tell people something, once, however often it is said here."""

    def label(self, labels: RunLabels) -> None:
        """Show a run's name, tags and notes as they are by now."""

    def caught_up(self) -> None:
        """Told once: all that an earlier tracker had is here, too."""

    def is_stuck(self, position: int | None) -> bool:
        """Whether it brings nothing there any more, though rows up to `position` are to be."""

    def leave(self) -> None:
        """Let go of a run that goes on, for another tracker of it."""

    def finish(self, status: RunStatus) -> None:
        """Send what is left and let go. May take long; the caller bounds it."""

    def missing(self, expected: Expected) -> Missing:
        """What did not arrive, told once it has finished.

        Raises:
            Exception: it cannot be known.
        """


class NullTracker:
    """Shows nothing."""

    first_position = 0
    publishes_live = False

    def describe(self, about: Mapping[str, JsonValue]) -> None:
        """Do nothing."""

    def log(self, row: Row) -> None:
        """Do nothing."""

    def summarize(self, values: Mapping[str, JsonValue]) -> None:
        """Do nothing."""

    def checkpoint(self, record: CheckpointRecord, folder: Path, aliases: Sequence[str]) -> None:
        """Do nothing."""

    def name_checkpoint(self, name: str, aliases: Sequence[str]) -> None:
        """Do nothing."""

    def published(self) -> Mapping[str, Collection[str]]:
        """Nothing is."""
        return {}

    def retire(self, name: str) -> None:
        """Do nothing."""

    def use_checkpoint(self, origin: Origin) -> None:
        """Do nothing."""

    def use_dataset(self, dataset: Dataset) -> None:
        """Do nothing."""

    def journal(self, header: JournalHeader, file: Path) -> None:
        """Do nothing."""

    def alert(self, alert: Alert) -> None:
        """Do nothing."""

    def label(self, labels: RunLabels) -> None:
        """Do nothing."""

    def caught_up(self) -> None:
        """Do nothing."""

    def is_stuck(self, position: int | None) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def leave(self) -> None:
        """Do nothing."""

    def finish(self, status: RunStatus) -> None:
        """Do nothing."""

    def missing(self, expected: Expected) -> Missing:  # noqa: ARG002
        """Nothing is: nothing was to be shown."""
        return Missing()


class RecordingTracker(NullTracker):
    """Keeps everything in memory, to be looked at."""

    def __init__(self, first_position: int = 0) -> None:
        self.first_position = first_position
        self.about: dict[str, JsonValue] = {}
        self.rows: list[Row] = []
        self.summary: dict[str, JsonValue] = {}
        self.checkpoints: list[tuple[CheckpointRecord, Path, tuple[str, ...]]] = []
        self.journals: list[tuple[JournalHeader, list[str]]] = []
        """Each with its lines."""
        self.named: list[tuple[str, tuple[str, ...]]] = []
        """Checkpoints that were there, and their aliases."""
        self.there: dict[str, list[str]] = {}
        """What an earlier tracker has published."""
        self.retired: list[str] = []
        self.origin: Origin | None = None
        self.dataset: Dataset | None = None
        self.alerts: list[Alert] = []
        self.labels: RunLabels | None = None
        self.is_whole = False
        self.status: RunStatus | None = None

    def describe(self, about: Mapping[str, JsonValue]) -> None:
        """Keep the latest description."""
        self.about = dict(about)

    def log(self, row: Row) -> None:
        """Keep the row."""
        assert not self.rows or row.position > self.rows[-1].position
        self.rows.append(row)

    def summarize(self, values: Mapping[str, JsonValue]) -> None:
        """Keep the latest value of each name."""
        self.summary.update(values)

    def checkpoint(self, record: CheckpointRecord, folder: Path, aliases: Sequence[str]) -> None:
        """Keep what was given."""
        self.checkpoints.append((record, folder, tuple(aliases)))

    def name_checkpoint(self, name: str, aliases: Sequence[str]) -> None:
        """Keep what was given."""
        self.named.append((name, tuple(aliases)))

    def published(self) -> Mapping[str, Collection[str]]:
        """As was set."""
        return self.there

    def retire(self, name: str) -> None:
        """Keep what was said."""
        self.retired.append(name)

    def use_checkpoint(self, origin: Origin) -> None:
        """Keep what was said."""
        self.origin = origin

    def use_dataset(self, dataset: Dataset) -> None:
        """Keep what was said."""
        self.dataset = dataset

    def alert(self, alert: Alert) -> None:
        """Keep what was said."""
        self.alerts.append(alert)

    def label(self, labels: RunLabels) -> None:
        """Keep the latest."""
        self.labels = labels

    def journal(self, header: JournalHeader, file: Path) -> None:
        """Keep what was given."""
        self.journals.append((header, file.read_text("utf-8").removesuffix("\n").split("\n")))

    def caught_up(self) -> None:
        """Keep that it was said."""
        self.is_whole = True

    def finish(self, status: RunStatus) -> None:
        """Keep how the run ended."""
        self.status = status
