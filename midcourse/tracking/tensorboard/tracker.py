"""A run in TensorBoard: the tracker that turns rows into events."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from tensorboard.plugins.hparams import api_pb2

from midcourse.contract.dotted import flat
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFiles, Media, Table
from midcourse.contract.records import Started
from midcourse.contract.runs import ENDED, RunStatus
from midcourse.tracking.marked_curve import MarkedCurve
from midcourse.tracking.tensorboard.event_file import EventFile
from midcourse.tracking.tensorboard.markdown import json_block, table, table_of
from midcourse.tracking.tensorboard.picture import heat_map, read_picture
from midcourse.tracking.tracker import NullTracker, Row

CONFIG: Final = "config"
ABOUT: Final = "midcourse"
SUMMARY: Final = "summary"
_GONE_WRONG: Final = (RunStatus.FAILED, RunStatus.INTERRUPTED)


class EventFileTracker(NullTracker):
    """Writes one run into one event file, from its first row on.

    Event files keep no models and no journal: those are left out.
    """

    def __init__(
        self, events: EventFile, folder: Path, started: Started, note: Callable[[str], None]
    ) -> None:
        """Tell the configuration at once.

        Args:
            events: the file, which stays the caller's to close.
            folder: the run's, which picture paths are relative to.
            started: the first record of the run's log.
            note: told what cannot be shown.
        """
        self._events = events
        self._folder = folder
        self._note = note
        self._step = started.next_step
        self._moment = started.at.timestamp()
        self._about: dict[str, JsonValue] | None = None
        self._told_about: dict[str, JsonValue] | None = None
        self._summary: dict[str, JsonValue] = {}
        run = started.run
        events.hyperparameters(
            self._moment, run.id, {**_hyperparameters(run.config), "seed": run.seed}
        )
        events.text(self._step, self._moment, CONFIG, json_block(run.config))

    def describe(self, about: Mapping[str, JsonValue]) -> None:
        """Tell what is known of the run with the next row."""
        self._about = dict(about)

    def log(self, row: Row) -> None:
        """Write one row; a medium that cannot be drawn is noted and left out."""
        self._step, self._moment = row.step, row.time
        self._tell_about()
        self._events.scalars(row.step, row.time, row.values)
        for name, media in row.media.items():
            if isinstance(media, MarkedCurve):
                continue  # TensorBoard draws curves itself, and marks by `intervention`
            try:
                self._show(name, media)
            except (OSError, ValueError) as error:
                self._note(f"{name} of step {row.step} not shown: {error}")

    def summarize(self, values: Mapping[str, JsonValue]) -> None:
        """Tell them at the end."""
        self._summary |= values

    def caught_up(self) -> None:
        """Let TensorBoard see all that there is."""
        self._events.show()

    def finish(self, status: RunStatus) -> None:
        """Tell the summary. An interrupted run may go on, and be finished again."""
        self._tell_about()
        if self._summary:
            rows: list[list[JsonValue]] = [
                [name, self._summary[name]] for name in sorted(self._summary)
            ]
            self._events.text(self._step, self._moment, SUMMARY, table(["name", "value"], rows))
        if status in ENDED:
            wrong = status in _GONE_WRONG
            self._events.end_of_session(
                self._moment, api_pb2.STATUS_FAILURE if wrong else api_pb2.STATUS_SUCCESS
            )
        self._events.show()

    def _tell_about(self) -> None:
        if self._about is not None and self._about != self._told_about:
            self._told_about = self._about
            self._events.text(self._step, self._moment, ABOUT, json_block(self._about))

    def _show(self, name: str, media: Media) -> None:
        place = (self._step, self._moment)
        match media:
            case Table() | Bars():
                self._events.text(*place, name, table_of(media))
            case ConfusionMatrix():
                told = "A row for each true class, a column for each predicted one, in one order."
                self._events.pictures(*place, name, [heat_map(media)], told)
                self._events.text(*place, f"{name}/counts", table_of(media))
            case ImageFiles(images=images):
                pictures = [read_picture(self._folder / image.path) for image in images]
                self._events.pictures(*place, name, pictures)
                if any(image.caption for image in images):
                    rows: list[list[JsonValue]] = [
                        [number, image.caption] for number, image in enumerate(images)
                    ]
                    captions = table(["picture", "caption"], rows)
                    self._events.text(*place, f"{name}/captions", captions)


def _hyperparameters(config: Mapping[str, JsonValue]) -> dict[str, bool | float | str]:
    """By dotted name; lists become JSON, and null is left out, as TensorBoard has neither."""
    return {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in flat(config).items()
        if value is not None
    }
