"""Pictures and tables that a run logs beside its numbers; a tracker draws them its own way."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from midcourse.contract.base import Record


class ConfusionMatrix(Record):
    """Counts of (true class, predicted class)."""

    kind: Literal["confusion_matrix"] = "confusion_matrix"
    labels: list[str]
    counts: list[list[int]]
    """Rows are true classes, columns predicted ones."""


class Bars(Record):
    """One bar for each label."""

    kind: Literal["bars"] = "bars"
    labels: list[str]
    values: list[float]
    label_title: str = "class"
    value_title: str = "value"


class Table(Record):
    """Rows under named columns."""

    kind: Literal["table"] = "table"
    columns: list[str]
    rows: list[list[JsonValue]]


class ImageFile(Record):
    """A picture in the run's `media/` folder."""

    path: str
    """Relative to the run's folder, with forward slashes."""
    caption: str = ""


class ImageFiles(Record):
    """A row of pictures."""

    kind: Literal["images"] = "images"
    images: list[ImageFile]


Media = Annotated[ConfusionMatrix | Bars | Table | ImageFiles, Field(discriminator="kind")]
