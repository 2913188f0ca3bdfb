"""A user's own pictures, one folder for each class."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from pydantic import Field
from torch import Tensor

from trainer.tasks.dataset import (
    DATASETS,
    TEST_SHARE,
    Dataset,
    DataUnavailable,
    stratified_split,
)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif"})

Labelled = tuple[list[Path], np.ndarray]
"""Files, and the class of each."""


@DATASETS.register("folder")
def folder(
    root: Path,
    *,
    path: str,
    image_size: Annotated[int, Field(ge=4, le=1024)] = 32,
    color: Literal["rgb", "gray"] = "rgb",
    test_share: Annotated[float, Field(gt=0, lt=1)] = TEST_SHARE,
) -> Dataset:
    """Your own pictures: `path/<class>/*.png`, or `path/train/…` and `path/test/…` with classes.

    Pictures are resized to squares of `image_size` and held in memory. Without a `test` folder,
    `test_share` of each class is set aside, the same pictures each time.

    Args:
        root: where a relative `path` is looked for after the working directory.
        path: the folder with the classes.
        image_size: pixels on a side.
        color: three channels or one.
        test_share: used without a `test` folder.

    Raises:
        DataUnavailable: there is no such folder, it has no classes or no pictures, or a picture
            cannot be read.
    """
    base = _find(root, path)
    below = _subfolders(base)
    if {"train", "test"} <= set(below):
        classes = _subfolders(base / "train")
        strangers = sorted(set(_subfolders(base / "test")) - set(classes))
        if strangers:
            raise DataUnavailable(
                f"{base / 'test'} has classes that {base / 'train'} lacks: {', '.join(strangers)}"
            )
        train, test = _list(base / "train", classes), _list(base / "test", classes)
    else:
        classes = below
        files, labels = _list(base, classes)
        train_index, test_index = (
            stratified_split(labels, test_share) if files else (labels, labels)
        )
        train = [files[i] for i in train_index], labels[train_index]
        test = [files[i] for i in test_index], labels[test_index]
    if len(classes) < 2:
        raise DataUnavailable(
            f"{base} needs a folder for each of at least two classes, with the pictures in them; "
            f"it has {', '.join(classes) or 'none'}"
        )
    for part, (files, _) in (("train", train), ("test", test)):
        if not files:
            raise DataUnavailable(
                f"{base} has no pictures to {part} on; known are {' '.join(sorted(SUFFIXES))}"
            )
    mode = "RGB" if color == "rgb" else "L"
    return Dataset.of(
        "folder", classes, _read(train, image_size, mode), _read(test, image_size, mode)
    )


def _find(root: Path, path: str) -> Path:
    places = [Path(path).expanduser(), root / path]
    for place in places:
        if place.is_dir():
            return place
    raise DataUnavailable(
        f"there is no folder {path!r}; looked for {' and '.join(str(p.absolute()) for p in places)}"
    )


def _subfolders(base: Path) -> list[str]:
    return sorted(
        child.name for child in base.iterdir() if child.is_dir() and child.name[0] not in "._"
    )


def _list(base: Path, classes: list[str]) -> Labelled:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            file
            for file in (base / name).rglob("*")
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        )
        files.extend(found)
        labels.extend([label] * len(found))
    return files, np.array(labels, dtype=np.int64)


def _read(labelled: Labelled, size: int, mode: str) -> tuple[Tensor, Tensor]:
    files, labels = labelled
    pictures = np.empty((len(files), size, size, len(mode)), dtype=np.uint8)
    for index, file in enumerate(files):
        try:
            with Image.open(file) as image:
                resized = image.convert(mode).resize((size, size), Image.Resampling.BILINEAR)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataUnavailable(f"{file} cannot be read as a picture: {error}") from None
        pictures[index] = np.asarray(resized).reshape(size, size, len(mode))
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
