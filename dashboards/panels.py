"""Panels: what is shown of which runs, and how; never with what it is drawn.

A panel names metrics, media and runs, and whoever draws it takes the data from there: an HTML file
from the records, W&B from its own. Only `Rows` carries its cells, for what a page has worked out.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.names import RunId


class Shown(Record):
    """What every panel says."""

    title: str
    explanation: str = ""
    """A sentence or two for somebody who sees such a panel for the first time; plain text."""


class OfRuns(Shown):
    """A panel that shows some runs of its page."""

    runs: list[RunId] = Field(min_length=1)
    """In the order of the page."""


class Curves(OfRuns):
    """Metrics over the steps: a line for each metric of each run that logged it."""

    kind: Literal["curves"] = "curves"
    metrics: list[str] = Field(min_length=1)
    log_y: bool = False
    held: bool = False
    """A value holds until the next one: the line goes in steps, as live parameters do."""
    markers: bool = True
    """Mark the steps at which commands acted."""
    from_step: int | None = None
    """Shows what came after this step alone; null: all."""


class Scalar(Record):
    """One number of a run."""

    metric: str
    pick: Literal["last", "best"]
    """Its last value, or the best, where the metric's name tells what is better."""


class Scalars(OfRuns):
    """Single numbers, large."""

    kind: Literal["scalars"] = "scalars"
    scalars: list[Scalar] = Field(min_length=1)


class Bars(OfRuns):
    """Bars that were logged as media, the newest; those of several runs stand side by side."""

    kind: Literal["bars"] = "bars"
    media: str


class Matrix(OfRuns):
    """A confusion matrix, the newest of each run."""

    kind: Literal["matrix"] = "matrix"
    media: str


class Images(OfRuns):
    """Pictures that were logged, the newest of each run, with captions."""

    kind: Literal["images"] = "images"
    media: str


class TableOf(OfRuns):
    """A table that was logged, the newest of each run."""

    kind: Literal["table"] = "table"
    media: str
    """`interventions` is the table of commands, of which there is one for each run."""


class ConfigDifference(OfRuns):
    """What the runs were made with, and their live parameters: only what is not the same in all."""

    kind: Literal["config_difference"] = "config_difference"


class LineageTree(OfRuns):
    """Which run came from which, at which step and with what changes."""

    kind: Literal["lineage"] = "lineage"
    metric: str | None = None
    """Shown beside each run, its best value."""


class Column(Record):
    """One thing that runs can be compared by."""

    source: Literal["config", "parameter", "metric"]
    """From the configuration, from the live parameters as they were last, or the best (else the
    last) value of a metric."""
    name: str
    """Dotted: `optimizer.lr`; of a metric as it was logged."""


class ParallelCoordinates(OfRuns):
    """A line for each run through its settings to what came of them: the last column."""

    kind: Literal["parallel_coordinates"] = "parallel_coordinates"
    columns: list[Column] = Field(min_length=2)


class Importance(OfRuns):
    """How strongly each setting goes with a metric, over the runs."""

    kind: Literal["importance"] = "importance"
    columns: list[Column] = Field(min_length=1)
    metric: str


class Rows(Shown):
    """A table that the page itself has worked out."""

    kind: Literal["rows"] = "rows"
    columns: list[str] = Field(min_length=1)
    rows: list[list[JsonValue]]
    """Numbers, text, booleans or null, which is an empty cell."""


class Text(Shown):
    """Something to read."""

    kind: Literal["text"] = "text"
    paragraphs: list[str] = Field(min_length=1)
    """Plain text: names in it are people's, and no markup."""


Panel = Annotated[
    Curves
    | Scalars
    | Bars
    | Matrix
    | Images
    | TableOf
    | ConfigDifference
    | LineageTree
    | ParallelCoordinates
    | Importance
    | Rows
    | Text,
    Field(discriminator="kind"),
]


class Section(Record):
    """Panels that belong together."""

    title: str
    explanation: str
    panels: list[Panel]
    empty: str | None = None
    """Why there is no panel, where there is none."""


class PageRun(Record):
    """A run of a page; its place in the list decides its colour."""

    id: RunId
    label: str


class Page(Record):
    """What is shown, from the title to the last panel: plain data, drawn by any renderer."""

    kind: Literal["workspace", "monitor", "comparison", "what_changed"]
    title: str
    experiment: str
    intro: list[str]
    """Paragraphs for somebody who has never seen Midcourse; plain text."""
    runs: list[PageRun]
    sections: list[Section]
