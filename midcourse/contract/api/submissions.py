"""Submitting runs: one, or a sweep of many at once."""

from typing import Annotated

from pydantic import Field, JsonValue, RootModel

from midcourse.contract.api import examples
from midcourse.contract.api.runs import RunView
from midcourse.contract.api.values import Notes, Priority, RunName, Tags
from midcourse.contract.base import Record, with_examples
from midcourse.contract.names import Experiment

MAX_SWEEP = 1000
"""The most runs of one submission."""

PARAMS = "{params}"
"""In the words of a command: where the file with the run's configuration lies."""
Image = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[A-Za-z0-9][\w.:/@-]*$")]
"""A container image, as `docker run` takes it: `ghcr.io/lab/model:2`."""
Word = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]
"""No argument of a program holds a NUL."""

GridPath = Annotated[str, Field(min_length=1, max_length=500)]
"""A place in the configuration, such as `optimizer.lr`. Sections that are missing are made."""


class SubmitRun(Record):
    """Body of `POST /runs`: a configuration; or many, by a grid or one by one."""

    model_config = with_examples(
        {"config": examples.CONFIG, "name": "first"},
        {
            "config": examples.CONFIG,
            "grid": {"optimizer.lr": [0.1, 0.01], "seed": [0, 1, 2]},
            "priority": 5,
        },
    )

    config: dict[str, JsonValue] | None = None
    """The trainer's parameters, as `python -m trainer params.json` takes them. With `grid` or
    `configs`: what all runs have in common."""
    grid: dict[GridPath, list[JsonValue]] | None = None
    """Places in the configuration and the values to try there: a run for every combination."""
    configs: list[dict[str, JsonValue]] | None = None
    """A run for each, merged into `config` as RFC 7396 has it."""
    experiment: Experiment | None = None
    """Groups runs; the config's `experiment` where it is not given here."""
    name: RunName | None = None
    """For people. Runs of a sweep have it with what sets them apart."""
    priority: Priority = 0
    """Runs that wait for a slot start in the order of it, the highest first."""
    tags: Tags = Field(default_factory=list)
    notes: Notes | None = None
    image: Image | None = None
    """The container image to train in, where trainers are containers and this one is allowed;
    null: the usual one."""
    command: list[Word] | None = Field(default=None, min_length=1, max_length=64)
    """The program to train with, and its arguments, behind the image's entrypoint; null: the
    bundled trainer. `{params}` in a word stands for the path of the configuration."""


class SweepView(Record):
    """Answer of `POST /runs` with `grid` or `configs`: all of the new runs."""

    model_config = with_examples({"sweep": "s7hw9z2mk", "runs": [examples.RUN]})

    sweep: str
    """Its id; `GET /runs?sweep=` lists the runs."""
    runs: list[RunView]
    """In the order in which they were asked for. The grid's last place changes first."""


class NewRuns(RootModel[RunView | SweepView]):
    """Answer of `POST /runs`: the new run or, of a sweep, all of them."""

    model_config = with_examples(examples.RUN)
