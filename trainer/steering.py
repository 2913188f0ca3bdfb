"""What may be changed while it trains, beside the objects that the run tracks."""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from torch import Tensor

from midcourse import Session
from midcourse.catalogue.registry import Entry
from midcourse.catalogue.schedulers import Schedules
from midcourse.live.value import LiveValue
from trainer.beat import beat_of, beats_left
from trainer.config import Config
from trainer.configure import augmentation_options
from trainer.tasks import AUGMENTATIONS, SCHEDULERS
from trainer.tasks.augmentations import Augmentation


@dataclass(frozen=True)
class Steering:
    """Live values; each is read where it is used, at each step."""

    grad_clip: LiveValue
    eval_every: LiveValue
    precision: LiveValue
    step_every: LiveValue
    augmentations: list["LiveAugmentation"]

    def beat(self, scheduler: str | None) -> str | None:
        """The interval at which the scheduler of this name steps; None if evaluations step it."""
        return beat_of(scheduler, self.step_every.value)

    def schedules(self, run: Session) -> Schedules:
        """What the scheduler may be swapped for; one without a length fills the rest of the run."""
        return Schedules(SCHEDULERS, lambda name: beats_left(run, self.beat(name) or "1 step"))

    def augment(self, images: Tensor) -> Tensor:
        """Change pictures at random, by every augmentation at its present value, by name."""
        for augmentation in self.augmentations:
            images = augmentation(images)
        return images


class LiveAugmentation:
    """One augmentation, made anew when its value changes."""

    def __init__(self, entry: Entry[Augmentation], value: LiveValue) -> None:
        self._entry = entry
        self._value = value
        self._neutral = _option(entry)[1].default
        self._made_for: Any = PydanticUndefined
        self._apply: Augmentation

    def __call__(self, images: Tensor) -> Tensor:
        """The pictures, changed; as they are at the neutral value."""
        value = self._value.value
        if value == self._neutral:
            return images
        if value != self._made_for:
            self._apply = _make(self._entry, value)
            self._made_for = value
        return self._apply(images)


def declare(run: Session, config: Config) -> Steering:
    """Declare the live values, beginning as configured.

    An augmentation that the configuration does not name begins at its neutral value, its option's
    default; one that has no default takes part only if it is named.
    """
    train = config.train
    return Steering(
        grad_clip=run.live("train.grad_clip", train.grad_clip),
        eval_every=run.live("train.eval_every", train.eval_every),
        precision=run.live("train.precision", train.precision),
        step_every=run.live("scheduler.step_every", config.scheduler.step_every),
        augmentations=[
            augmentation
            for name in AUGMENTATIONS.names()
            if (augmentation := _declare_augmentation(run, name, config.data.augmentation))
        ],
    )


def _declare_augmentation(
    run: Session, name: str, configured: dict[str, JsonValue]
) -> LiveAugmentation | None:
    entry = AUGMENTATIONS.entry(name)
    option, field = _option(entry)
    if name in configured:
        checked = entry.options.model_validate(augmentation_options(name, configured[name]))
        value = getattr(checked, option)
    elif field.is_required():
        return None
    else:
        value = field.default
    choices = _choices(field)
    if not name.isidentifier() or (field.annotation not in _LIVE_TYPES and choices is None):
        return LiveAugmentation(entry, LiveValue(value))
    live = run.live(
        f"data.augmentation.{name}",
        value,
        **_bounds(field),
        choices=choices,
        description=entry.summary,
        check=_checks(entry),
    )
    return LiveAugmentation(entry, live)


_LIVE_TYPES = (bool, int, float, str)
"""What a live value of a program's own can be."""


def _option(entry: Entry[Augmentation]) -> tuple[str, FieldInfo]:
    """The name and declaration of its one option."""
    ((name, field),) = entry.options.model_fields.items()
    return name, field


def _make(entry: Entry[Augmentation], value: Any) -> Augmentation:
    return AUGMENTATIONS.make(entry.name, **augmentation_options(entry.name, value))


def _checks(entry: Entry[Augmentation]) -> Callable[[Any], None]:
    """Raises for a value that the augmentation cannot be made with."""

    def check(value: Any) -> None:
        options = augmentation_options(entry.name, value)
        _, faults = AUGMENTATIONS.check(entry.name, options, "")
        if faults:
            raise ValueError(faults[0].message)
        _make(entry, value)

    return check


def _bounds(field: FieldInfo) -> dict[str, Any]:
    """The bounds of an option, as `Session.live` takes them."""
    return {
        word: bound
        for limit in field.metadata
        for word in ("ge", "gt", "le", "lt")
        if (bound := getattr(limit, word, None)) is not None
    }


def _choices(field: FieldInfo) -> list[str] | None:
    if typing.get_origin(field.annotation) is not Literal:
        return None
    return [str(choice) for choice in typing.get_args(field.annotation)]
