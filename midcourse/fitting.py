"""What of a checkpoint's state fits a program whose model was edited."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from midcourse.checkpoints.state import pack
from midcourse.live.layers import unwrapped

_WRAPPERS = ("_orig_mod.", "module.")
"""What a compiled and a data-parallel model put before every name."""


def weight_names(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Of each optimizer its class, and the names of its weights in the order of its state.

    Its own state dict knows them by number only, and the numbers change with the model.
    """
    names = {
        id(weight): f"{thing}.{name}"
        for thing, module in reversed(modules_of(objects).items())
        for name, weight in module.named_parameters()
    }
    return {
        name: {
            "class": class_of(thing),
            "names": [names.get(id(weight)) for weight in weights_in(thing)],
        }
        for name, thing in objects.items()
        if isinstance(thing, Optimizer)
    }


def modules_of(objects: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The models among tracked objects, by name, out of their wrappers."""
    return {
        name: unwrapped(thing)
        for name, thing in objects.items()
        if isinstance(thing, nn.Module) and name != "loss"
    }


def class_of(thing: Any) -> str:
    """The full name of an object's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def weights_in(optimizer: Optimizer) -> list[torch.Tensor]:
    """The weights that an optimizer moves, in the order of its state."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def names_in(optimizer: Optimizer, objects: Mapping[str, Any]) -> list[list[str]]:
    """All names of each weight, in the order of the optimizer's state; one tied has several."""
    names: dict[int, list[str]] = {}
    for thing, module in modules_of(objects).items():
        for name, weight in module.named_parameters(remove_duplicate=False):
            names.setdefault(id(weight), []).append(f"{thing}.{name}")
    return [names.get(id(weight), []) for weight in weights_in(optimizer)]


def without_wrapper(saved: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, Any]:
    """A saved state dict, its names without the word that only a wrapper put before them all."""
    for word in _WRAPPERS:
        wraps = bool(saved) and all(name.startswith(word) for name in saved)
        if wraps and not any(name.startswith(word) for name in mine):
            inner = {name.removeprefix(word): entry for name, entry in saved.items()}
            return without_wrapper(inner, mine)
    return dict(saved)


def agrees(mine: Any, saved: Any) -> bool:
    """Whether a saved entry can take the place of one's own: same shape, same kind of number."""
    return (
        isinstance(mine, torch.Tensor)
        and isinstance(saved, torch.Tensor)
        and mine.shape == saved.shape
        and (mine.dtype == saved.dtype or (_is_rounded(mine) and _is_rounded(saved)))
    )


def _is_rounded(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def shape_trouble(mine: Any, saved: Any) -> str | None:
    """Where two states have tensors of different shapes; None if nowhere."""
    (_, own), (_, theirs) = pack(mine), pack(saved)
    for name in sorted(own.keys() & theirs.keys()):
        if own[name].shape != theirs[name].shape:
            return (
                f"its {name} has the shape {tuple(own[name].shape)}, the checkpoint's "
                f"{tuple(theirs[name].shape)}"
            )
    return None
