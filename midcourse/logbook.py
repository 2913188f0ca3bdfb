"""The logbook: what a program may log, on its way from the loop to the recorder."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from midcourse.branch import Branch
from midcourse.checkpointer import BestSoFar
from midcourse.contract.base import utc_now
from midcourse.contract.media import Bars, ConfusionMatrix, Table
from midcourse.contract.records import MediaLogged, Notice
from midcourse.pictures import Images, save_images
from midcourse.readings import numbers_at_hand, stack

_TENSORS = {torch.Tensor}
_MEDIA = (ConfusionMatrix, Bars, Table)
_PLAIN: TypeAdapter[Any] = TypeAdapter(JsonValue, config=ConfigDict(allow_inf_nan=False))


class Logbook:
    """Sorts what is logged into numbers and media, and watches for the best value."""

    def __init__(self, find_branch: Callable[[], Branch], best: BestSoFar | None) -> None:
        """An empty logbook.

        Args:
            find_branch: the branch that is written to; a revert changes it.
            best: the metric to watch, if any.
        """
        self._find_branch = find_branch
        self._best = best
        self._latest: tuple[int, dict[str, float]] = (0, {})
        self.summary: dict[str, Any] = {}
        """Final values for people."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Log numbers, 0-dim tensors or media of a step; never waits for a device.

        Raises:
            TypeError: a value is none of these.
        """
        given = tuple(values.values())
        if set(map(type, given)) == _TENSORS:  # common, and worth being fast
            if (numbers_read := numbers_at_hand(given)) is not None:
                if self._best is not None:
                    self._see(step, dict(zip(values, numbers_read, strict=True)))
                self._find_branch().recorder.numbers(step, tuple(values), numbers_read)
                return
            if len(given) > 1 and (stacked := stack(given)) is not None:
                if self._best is not None:
                    self._see(step, values)
                self._find_branch().recorder.row(step, tuple(values), stacked)
                return
        plain: dict[str, float] = {}
        tensors: dict[str, torch.Tensor] = {}
        for name, value in values.items():
            if type(value) is float:
                plain[name] = value
            elif type(value) is torch.Tensor and (read := numbers_at_hand((value,))):
                plain[name] = read[0]
            elif _is_scalar(value):
                tensors[name] = value
            elif isinstance(value, numbers.Real):  # numpy's too, whose repr is not a float's
                plain[name] = float(value)
            elif isinstance(value, Images):
                self._log_images(step, name, value)
            elif isinstance(value, _MEDIA):
                self._log_media(step, name, value)
            else:
                raise TypeError(
                    f"{name} is a {type(value).__name__}; log numbers, tensors of one element, "
                    "Images, Table, Bars or ConfusionMatrix"
                )
        if plain or tensors:
            if self._best is not None:
                self._see(step, {**plain, **tensors})
            self._find_branch().recorder.metrics(step, plain, tensors)

    def log_row(self, step: int, names: tuple[str, ...], values: torch.Tensor) -> None:
        """Log many numbers as one 1-dim tensor that nobody changes afterwards; see `Recorder`."""
        self._find_branch().recorder.row(step, names, values)

    def _see(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Look at the value that decides what is best; the one place that waits for a device."""
        if self._best is not None and self._best.metric in metrics:
            self._best.see(float(metrics[self._best.metric]))
            self._latest = (step, _finite(metrics))

    def _log_images(self, step: int, name: str, images: Images) -> None:
        paths = self._find_branch().paths
        if not self._find_branch().fence.holds():
            return  # a later attempt has the run, and writes these pictures itself
        try:
            files = save_images(images, paths.folder, paths.media, name, step)
        except OSError as error:  # a full disk must not end the training
            message = f"the pictures {name} of step {step} could not be written: {error}"
            self._find_branch().recorder.record(Notice(at=utc_now(), message=message))
        else:
            self._log_media(step, name, files)

    def _log_media(self, step: int, name: str, media: Any) -> None:
        record = MediaLogged(at=utc_now(), step=step, name=name, media=media)
        self._find_branch().recorder.record(record)

    def evaluated_at(self, step: int) -> dict[str, float]:
        """The plain numbers that were logged with the watched metric at this step, if it was."""
        at, values = self._latest
        return values if at == step else {}

    def sum_up(self, values: Mapping[str, Any]) -> None:
        """Add to the summary.

        Raises:
            TypeError: a value is neither a number, a tensor of one element, nor plain JSON.
        """
        for name, value in values.items():
            if _is_scalar(value) or isinstance(value, np.generic):
                value = value.item()
            if isinstance(value, float) and not math.isfinite(value):
                value = str(value)  # JSON has no word for it
            try:
                self.summary[name] = _PLAIN.validate_python(value)
            except ValidationError:
                raise TypeError(
                    f"{name} is a {type(value).__name__} that is no plain JSON; give numbers, "
                    "strings, and lists and dicts of them"
                ) from None


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those that a manifest can hold: no tensors, no NaN."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, float) and math.isfinite(value)
    }


def _is_scalar(value: Any) -> bool:
    """Whether it is a tensor of one real number."""
    return isinstance(value, torch.Tensor) and value.numel() == 1 and not value.dtype.is_complex
