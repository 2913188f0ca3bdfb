"""A home with a small experiment in it, as trainers would leave it, for the tests of dashboards.

`baseline` trains ten steps; its rate is changed after step 4. `gentler` is a fork of it from step
5 with a lower rate. `other` is a program with names of its own, which nobody steered.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tracked_runs as t
from PIL import Image

from midcourse.contract.base import Record
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.commands import Fork
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFile, ImageFiles, Table
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Started
from midcourse.contract.runs import Origin, RunFile, RunStatus

BASELINE, GENTLER, OTHER = "rbaseline", "rgentler", "rother"
EXPERIMENT = "digits"
CONFIG = {"optimizer": {"name": "sgd", "lr": 0.1}, "model": {"dropout": 0.5}}
VALUES = {"optimizer.lr": 0.1, "model.dropout": 0.5, "train.grad_clip": None}
CLASSES = ["cat", "dog"]


def put_experiment(home: Path) -> Path:
    """All three runs; returns the home."""
    put_run(home, run_file(BASELINE, name="baseline"), baseline_records())
    origin = Origin(
        run=BASELINE, checkpoint="step-5", changes={"optimizer.lr": 0.01}, actor="grace"
    )
    put_run(home, run_file(GENTLER, name="gentler", origin=origin), gentler_records(origin))
    put_run(home, run_file(OTHER, config={"width": 8}), other_records())
    for run in (BASELINE, GENTLER):
        put_pictures(RunPaths(home, run))
    return home


def run_file(run: str, **more: Any) -> RunFile:
    """What a run is; by default of the experiment."""
    return RunFile(**({"id": run, "experiment": EXPERIMENT, "seed": 7, "config": CONFIG} | more))


def put_run(home: Path, file: RunFile, records: Iterable[Record | str]) -> RunPaths:
    """A run's folder with its log; a text stands for a line that is as it is."""
    paths = RunPaths(home, file.id)
    paths.folder.mkdir(parents=True, exist_ok=True)
    paths.run_file.write_text(file.to_json())
    lines = [each if isinstance(each, str) else each.to_json() for each in records]
    paths.run_log.write_text("".join(f"{line}\n" for line in lines))
    return paths


def started(
    file: RunFile, next_step: int = 0, attempt: int = 1, values: dict[str, Any] | None = None
) -> Started:
    """The first record of an attempt."""
    values = VALUES if values is None else values
    return Started(
        at=t.moment(next_step),
        attempt=attempt,
        run=file,
        next_step=next_step,
        total_steps=10,
        parameters=[BUILT_IN[name] for name in values if name in BUILT_IN],
        values=values,
    )


def baseline_records() -> list[Record]:
    """Ten steps, and a change after step 4."""
    return [
        started(run_file(BASELINE, name="baseline")),
        *(training(step, 1 / (step + 1)) for step in range(5)),
        t.media(4, "test/confusion_matrix", matrix(8)),
        t.lr_set(1, 4, 0.1, 0.05),
        *(training(step, 0.3 - step / 100) for step in range(5, 10)),
        t.checkpoint(5, best=True),
        *evaluation(9, 7),
        t.status(RunStatus.FINISHED, 9, test_accuracy=0.7),
    ]


def gentler_records(origin: Origin) -> list[Record]:
    """The steps after the fork's checkpoint, which begin with its change."""
    return [
        started(run_file(GENTLER, name="gentler", origin=origin), 6),
        t.done(
            0,
            5,
            Fork(changes=dict(origin.changes)),
            before={"optimizer.lr": 0.05},
            after={"optimizer.lr": 0.01},
        ),
        *(training(step, 0.2 - step / 100) for step in range(6, 10)),
        *evaluation(9, 9),
        t.status(RunStatus.FINISHED, 9, test_accuracy=0.9),
    ]


def other_records() -> list[Record]:
    """A user's own program: other names, nothing to steer, and a value that is not finite."""
    logged = [
        t.metrics(step, loss=5.0 - step, val_loss="NaN" if step == 2 else 4.0 - step, reward=step)
        for step in range(4)
    ]
    return [started(run_file(OTHER, config={"width": 8}), values={}), *logged]


def training(step: int, loss: float) -> Record:
    """What is logged at each step."""
    return t.metrics(
        step,
        train__loss=loss,
        test__loss=loss * 1.5,
        test__accuracy=1 - loss,
        train__lr=0.1,
        gradients__0_weight=math.exp(-step),
        system__steps_per_second=100.0 + step,
    )


def evaluation(step: int, right: int) -> list[Record]:
    """What is logged beside the numbers, of ten pictures of each class."""
    pictures = [ImageFile(path=f"media/{i}.png", caption=f"picture {i}") for i in range(2)]
    rows: list[list[Any]] = [[name, 10, right / 10, None] for name in CLASSES]
    return [
        t.media(step, "test/confusion_matrix", matrix(right)),
        t.media(
            step,
            "test/per_class_accuracy",
            Bars(labels=CLASSES, values=[right / 10, 0.5], value_title="accuracy"),
        ),
        t.media(
            step, "test/per_class", Table(columns=["class", "pictures", "acc", "f1"], rows=rows)
        ),
        t.media(step, "examples/misclassified", ImageFiles(images=pictures)),
    ]


def matrix(right: int) -> ConfusionMatrix:
    """Ten pictures of each class."""
    return ConfusionMatrix(labels=CLASSES, counts=[[right, 10 - right], [10 - right, right]])


def put_pictures(paths: RunPaths) -> None:
    """The files that `evaluation` speaks of."""
    paths.media.mkdir(exist_ok=True)
    for index in range(2):
        Image.new("RGB", (4, 4), (255, 40 * index, 0)).save(paths.media / f"{index}.png")
