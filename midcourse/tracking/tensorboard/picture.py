"""Pictures for TensorBoard: those that a run logged, and confusion matrices as heat maps."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from midcourse.contract.media import ConfusionMatrix

_SHOWN: Final = ("PNG", "JPEG", "GIF")
"""What TensorBoard hands to a browser as it is."""
_SIDE: Final = 640
"""About how many pixels a heat map has on each side."""
_LABEL_CHARACTERS: Final = 16
_DARK: Final = (8, 48, 107)
_LIGHT: Final = (247, 251, 255)


@dataclass(frozen=True)
class Picture:
    """A picture's file, ready for a browser."""

    data: bytes
    size: tuple[int, int]
    """Width and height in pixels."""


def read_picture(path: Path) -> Picture:
    """A picture that a run logged; a format that browsers do not show becomes PNG.

    Raises:
        OSError: it cannot be read, or is no picture.
    """
    with Image.open(path) as image:
        if image.format in _SHOWN:
            return Picture(path.read_bytes(), image.size)
        return _as_png(image.convert("RGB"))


def heat_map(matrix: ConfusionMatrix) -> Picture:
    """A confusion matrix: a row for each true class, darker where more of the row lies.

    Counts are written into the cells where there is room; all of them stand in the table beside it.

    Raises:
        ValueError: the counts are not as many rows and columns as there are labels.
    """
    classes = len(matrix.labels)
    if len(matrix.counts) != classes or any(len(row) != classes for row in matrix.counts):
        raise ValueError(f"the counts are not {classes} rows of {classes}, one for each label")
    cell = max(2, min(48, _SIDE // max(classes, 1)))
    font = ImageFont.load_default()
    labels = [_plain(label) for label in matrix.labels] if cell >= 10 else []
    margin = max((round(font.getlength(label)) for label in labels), default=0) + 8
    side = cell * classes
    totals = [max(sum(row), 1) for row in matrix.counts]
    shares = [
        [count / total for count in row] for row, total in zip(matrix.counts, totals, strict=True)
    ]
    image = Image.new("RGB", (margin + side, max(side, 1)), "white")
    if classes:
        cells = Image.new("RGB", (classes, classes))
        cells.putdata([_shade(share) for row in shares for share in row])
        image.paste(cells.resize((side, side), Image.Resampling.NEAREST), (margin, 0))
    pen = ImageDraw.Draw(image)
    for place, label in enumerate(labels):
        pen.text((margin - 4, place * cell + cell / 2), label, "black", font, anchor="rm")
    for true, row in enumerate(matrix.counts if cell >= 20 else []):
        for predicted, count in enumerate(row):
            if count and font.getlength(str(count)) < cell:
                colour = "white" if shares[true][predicted] > 0.5 else "black"
                middle = (margin + (predicted + 0.5) * cell, (true + 0.5) * cell)
                pen.text(middle, str(count), colour, font, anchor="mm")
    return _as_png(image)


def _shade(share: float) -> tuple[int, int, int]:
    red, green, blue = (
        round(light + (dark - light) * share) for light, dark in zip(_LIGHT, _DARK, strict=True)
    )
    return red, green, blue


def _plain(label: str) -> str:
    """A label in what every font has: Pillow's own may lack the rest."""
    return label[:_LABEL_CHARACTERS].encode("ascii", "replace").decode().replace("\n", " ")


def _as_png(image: Image.Image) -> Picture:
    file = io.BytesIO()
    image.save(file, "PNG")
    return Picture(file.getvalue(), image.size)
