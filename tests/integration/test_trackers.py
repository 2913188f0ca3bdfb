"""One behaviour suite for everything that is a Tracker: null, recording, and W&B offline."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tracked_runs import RUN, checkpoint, moment, put_checkpoint, started

from midcourse.contract.journal_file import JournalHeader
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFile, ImageFiles, Media, Table
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunStatus
from midcourse.tracking.keepsakes import stage
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.tracker import NullTracker, RecordingTracker, Row, Tracker

Opener = Callable[[RunPaths], Tracker]


def open_null(_: RunPaths) -> Tracker:
    return NullTracker()


def open_recording(_: RunPaths) -> Tracker:
    return RecordingTracker()


def open_wandb_offline(paths: RunPaths) -> Tracker:
    from midcourse.tracking.wandb_open import Opening, Trainer

    settings = TrackingSettings(mode=TrackingMode.OFFLINE)
    trainer = Trainer(os.getpid(), "test")
    opening = Opening(settings, paths, trainer, notes.append, on_stop=lambda: None)
    return opening.open(started())


notes: list[str] = []
every_tracker = pytest.mark.parametrize("opened", [open_null, open_recording, open_wandb_offline])


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPaths]:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    notes.clear()
    paths = RunPaths(tmp_path, RUN)
    paths.tracking.mkdir(parents=True)
    yield paths
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # the next test has an environment of its own


@every_tracker
def test_a_fresh_run_begins_at_position_zero(opened: Opener, paths: RunPaths) -> None:
    tracker = opened(paths)
    assert tracker.first_position == 0
    tracker.finish(RunStatus.FINISHED)


@every_tracker
@pytest.mark.parametrize("status", [RunStatus.FINISHED, RunStatus.FAILED, RunStatus.INTERRUPTED])
def test_a_whole_run_from_description_to_end(
    opened: Opener, paths: RunPaths, status: RunStatus
) -> None:
    tracker = opened(paths)
    tracker.describe({"attempt": 1, "parameters": {"optimizer": {"lr": 0.1}}})
    tracker.log(Row(0, 0, 1.0, {"loss": 1.0}))
    tracker.describe({"attempt": 2, "parameters": {}})
    tracker.log(Row(7, 7, 2.0, {"loss": float("nan"), "up": float("inf")}))
    tracker.log(Row(8, 3, 2.0, {"late": 1.0}))
    tracker.summarize({"note": "good", "nothing": None, "many": [1, 2]})
    tracker.summarize({})
    written = checkpoint(7)
    put_checkpoint(paths, written)
    tracker.checkpoint(written.checkpoint, stage(paths, "step-7"), ["step-7", "latest"])
    file = paths.tracking / "journal.jsonl"
    header = JournalHeader(
        run=RUN, line=[RUN], experiment="digits", seed=7, config={}, exported_at=moment(0)
    )
    file.write_text(header.to_json() + "\n")
    tracker.journal(header, file)
    tracker.caught_up()
    tracker.finish(status)
    assert notes == []


AWKWARD: list[Media] = [
    ConfusionMatrix(labels=["one"], counts=[[0]]),
    ConfusionMatrix(labels=["a", "a"], counts=[[1, 2], [3, 4]]),
    ConfusionMatrix(
        labels=[str(n) for n in range(300)],
        counts=[[int(a == b) for b in range(300)] for a in range(300)],
    ),
    Bars(labels=[], values=[]),
    Bars(labels=["a"], values=[1.0], label_title="same", value_title="same"),
    Table(columns=[], rows=[]),
    Table(columns=["a"], rows=[]),
    Table(columns=["a"], rows=[[None], [True], [1.5], ["x"], [[1]], [{"k": None}]]),
    ImageFiles(images=[]),
]


@every_tracker
@pytest.mark.parametrize(
    "media", AWKWARD, ids=[f"{item.kind}-{n}" for n, item in enumerate(AWKWARD)]
)
def test_awkward_media_are_shown(opened: Opener, paths: RunPaths, media: Media) -> None:
    tracker = opened(paths)
    tracker.log(Row(0, 0, 1.0, {"loss": 1.0}, {"test/shown": media}))
    tracker.log(Row(1, 1, 1.0, {"loss": 1.0}))
    tracker.finish(RunStatus.FINISHED)
    assert notes == []


@every_tracker
@pytest.mark.parametrize(
    "media",
    [
        ImageFiles(images=[ImageFile(path="media/none.png")]),
        ConfusionMatrix(labels=["a", "b"], counts=[[1, 2]]),
        Bars(labels=["a", "b"], values=[1.0]),
        Table(columns=["a", "b"], rows=[[1]]),
    ],
    ids=lambda item: item.kind,
)
def test_media_that_cannot_be_shown_do_not_take_the_numbers_with_them(
    opened: Opener, paths: RunPaths, media: Media
) -> None:
    tracker = opened(paths)
    tracker.log(Row(0, 0, 1.0, {"loss": 1.0}, {"test/broken": media}))
    tracker.log(Row(1, 1, 1.0, {"loss": 0.5}))
    tracker.finish(RunStatus.FINISHED)
    if opened is open_wandb_offline:
        assert len(notes) == 1
        assert notes[0].startswith("test/broken of step 0 not shown: ")
