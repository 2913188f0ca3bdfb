"""Making a live loss another one, in place: the program holds it in a variable of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_OF_CLASS = {"_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"}
_OF_PROGRAM = nn.Module().__dict__.keys() - _OF_CLASS
"""Attributes that the program may have changed on any module: its mode, hooks."""

_IGNORED_BY_DEFAULT = -100


def trouble(loss: nn.Module, made: nn.Module) -> str | None:
    """Why `made` cannot take the place of `loss`; None if it can."""
    ignored = getattr(loss, "ignore_index", _IGNORED_BY_DEFAULT)
    if ignored != _IGNORED_BY_DEFAULT and not hasattr(made, "ignore_index"):
        return (
            f"cannot replace the present loss, which passes over targets of {ignored} "
            "(ignore_index): this one would take them for classes"
        )
    return None


def become(loss: nn.Module, made: nn.Module) -> None:
    """Give `loss` the class and attributes of `made`; its mode and hooks stay."""
    staying = {key: value for key, value in vars(loss).items() if key in _OF_PROGRAM}
    loss.__class__ = type(made)
    vars(loss).clear()
    vars(loss).update({**vars(made), **staying})


def take_differences(loss: nn.Module, before: nn.Module, made: nn.Module) -> None:
    """Give `loss` what differs between two of its class.

    What the program gave it beyond the options, such as `ignore_index`, is alike in these two, so
    it stays.

    Args:
        loss: the live one.
        before: made of the live one's options.
        made: made of the options that it is to have.
    """
    if before._modules or made._modules:  # whatever the options do within
        become(loss, made)
        return
    for holder, old, new in (
        (vars(loss), vars(before), vars(made)),
        (loss._buffers, before._buffers, made._buffers),
    ):
        for key in (old.keys() | new.keys()) - vars(nn.Module()).keys():
            if key in new and not (key in old and _equal(old[key], new[key])):
                holder[key] = new[key]
            elif key not in new:
                holder.pop(key, None)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def keep(loss: nn.Module) -> Callable[[], None]:
    """A function that gives a loss and what is in it their present class and attributes back."""
    old = [(module, type(module), _attributes(module)) for module in loss.modules()]

    def restore() -> None:
        for module, kind, attributes in old:
            module.__class__ = kind
            vars(module).clear()
            vars(module).update(_copied(attributes))

    return restore


def _attributes(module: nn.Module) -> dict[str, Any]:
    return _copied(vars(module))


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """With containers of its own; the tensors are shared, since changes replace them."""
    return {key: value.copy() if key in _OF_CLASS else value for key, value in attributes.items()}
