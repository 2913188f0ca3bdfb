"""Logged pictures as `data:` addresses: the file needs nothing beside it."""

import base64
from dataclasses import dataclass
from pathlib import Path

from dashboards.html.source import Source
from dashboards.panels import Images
from dashboards.words import counted
from midcourse.contract.media import ImageFile, ImageFiles

_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True)
class Picture:
    """One picture in the file."""

    address: str
    caption: str


@dataclass(frozen=True)
class PicturesView:
    """The pictures of one run."""

    run: str
    colour: str
    index: int
    step: int
    pictures: list[Picture]
    notes: list[str]


def draw_pictures(panel: Images, source: Source) -> list[PicturesView]:
    """The newest pictures of each run of a panel that has logged some."""
    views = []
    for run_id in panel.runs:
        run = source.run(run_id)
        kept = run.media.get(panel.media)
        if kept and isinstance(kept[-1].media, ImageFiles):
            pictures, notes = _pictures(kept[-1].media.images, run.folder, source)
            views.append(
                PicturesView(
                    run=source.label(run_id),
                    colour=source.colour(run_id),
                    index=source.index(run_id),
                    step=kept[-1].step,
                    pictures=pictures,
                    notes=notes,
                )
            )
    return views


def _pictures(
    images: list[ImageFile], folder: Path, source: Source
) -> tuple[list[Picture], list[str]]:
    pictures, notes, too_much = [], [], 0
    for image in images:
        content = _content(folder, image.path, source.pictures.bytes_left)
        if content is None:
            too_much += 1
            continue
        kind = next((name for magic, name in _TYPES.items() if content.startswith(magic)), None)
        if kind is None:
            notes.append(f"{image.path} is not there, or is no PNG, JPEG or GIF.")
            continue
        source.pictures.bytes_left -= len(content)
        text = base64.b64encode(content).decode("ascii")
        pictures.append(Picture(f"data:{kind};base64,{text}", image.caption))
    if too_much:
        left_out = counted(too_much, "picture is", "pictures are")
        notes.append(f"{left_out} left out, so that the file does not become too large.")
    return pictures, notes


def _content(folder: Path, path: str, at_most: int) -> bytes | None:
    """Of a file in the run's folder; what a log names elsewhere is nobody's picture.

    Returns:
        Nothing where there is no such file; None where it is too large.
    """
    try:
        file = (folder / path).resolve()
        if not (file.is_relative_to(folder.resolve()) and file.is_file()):
            return b""
        return None if file.stat().st_size > at_most else file.read_bytes()
    except (OSError, ValueError):
        return b""
