"""Torchvision's classification models, adapted to a data set's channels, size and classes."""

import contextlib
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import torch
import torchvision
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from trainer.tasks.models import MODELS

Size = tuple[int, int]

_SIZES = (32, 64, 96, 128, 224, 299)
"""Sides that pictures are enlarged to when a model cannot take them as they are."""

_OPTIONS = ("dropout", "attention_dropout", "drop_rate", "zero_init_residual")
"""Parameters of the models' classes that may be set; builders fix the others."""


class Enlarged(nn.Module):
    """A model that sees its pictures at another size."""

    def __init__(self, model: nn.Module, size: Size) -> None:
        super().__init__()
        self.model = model
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """The model's logits for the enlarged pictures."""
        resized = functional.interpolate(
            images, size=self.size, mode="bilinear", align_corners=False
        )
        logits: Tensor = self.model(resized)
        return logits


def build(
    builder: Callable[..., nn.Module],
    cls: type[nn.Module],
    shape: tuple[int, int, int],
    classes: int,
    *,
    resize: int | None,
    **options: Any,
) -> nn.Module:
    """A torchvision model for pictures of a shape.

    Pictures are enlarged to squares of `resize`; without it, to the smallest size that the network
    can take, and to 32 at least: below that its first layers leave nothing to see.

    Raises:
        ValueError: the network takes no size that was tried.
    """
    channels, height, width = shape
    if resize is not None:
        sizes = [(resize, resize)]
    else:
        own = [(height, width)] if min(height, width) >= _SIZES[0] else []
        sizes = own + [(side, side) for side in _SIZES if side > min(height, width)]
    parameters = inspect.signature(cls).parameters
    arguments = options | {"weights": None, "num_classes": classes}
    if "aux_logits" in parameters:  # one output, as all others have
        arguments |= {"aux_logits": False, "init_weights": True}

    def make(size: Size) -> nn.Module:
        if "image_size" in parameters:
            arguments["image_size"] = size[0]
        if "input_size" in parameters:
            arguments["input_size"] = size
        model = builder(**arguments)
        _take_channels(model, channels)
        return model

    built_for_a_size = {"image_size", "input_size"} & set(parameters)
    model: nn.Module | None = None
    for size in sizes:
        with contextlib.suppress(*_TOO_SMALL):
            if model is None or built_for_a_size:
                model = make(size)
            fitted = model if size == (height, width) else Enlarged(model, size)
            _rehearse(fitted, shape)
            return fitted
    tried = ", ".join(f"{height}x{width}" for height, width in sizes)
    raise ValueError(
        f"{builder.__name__} cannot take these pictures at {tried} pixels; set another `resize`"
    )


_TOO_SMALL = (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError)
"""Each network says in its own way that its pictures have not the right size."""


def _rehearse(model: nn.Module, shape: tuple[int, int, int]) -> None:
    """A forward pass on the meta device: shapes without memory or arithmetic."""
    tensors = {
        name: tensor.detach().to("meta")
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    with torch.no_grad():
        functional_call(model, tensors, torch.empty(2, *shape, device="meta"))


def _take_channels(model: nn.Module, channels: int) -> None:
    """Give the first convolution as many input channels, with weights like those it had."""
    for layer in model.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        if layer.in_channels == channels:
            return
        weight = layer.weight.detach()
        picked = torch.arange(channels, device=weight.device) % layer.in_channels
        layer.weight = nn.Parameter(weight[:, picked].clone())
        layer.in_channels = channels
        return
    raise ValueError(f"{type(model).__name__} has no convolution to adapt")


def _register_all() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        builder = torchvision.models.get_model_builder(name)
        cls = typing.get_type_hints(inspect.unwrap(builder))["return"]
        MODELS.register(name, summary=f"torchvision: {cls.__name__}")(_maker(name, builder, cls))


def _maker(
    name: str, builder: Callable[..., nn.Module], cls: type[nn.Module]
) -> Callable[..., nn.Module]:
    """A function with the model's own options in its signature."""

    def make(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        set_ones = {key: value for key, value in options.items() if value is not None}
        resize = set_ones.pop("resize", None)
        return build(builder, cls, shape, classes, resize=resize, **set_ones)

    side = Annotated[int, Field(ge=8, le=1024)]
    own = inspect.signature(cls).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    make.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *list(inspect.signature(make).parameters.values())[:2],
            inspect.Parameter("resize", keyword, default=None, annotation=side | None),
            *(
                inspect.Parameter(option, keyword, default=None, annotation=own[option].annotation)
                for option in _OPTIONS
                if option in own
            ),
        ]
    )
    make.__name__ = name
    return make


_register_all()
