"""What a program gives its loss, noted once, so that another loss can be tried before it acts."""

import warnings
from typing import Any

import torch
from torch import nn

Shapes = list[tuple[list[int], str]]
"""Shape and type of each argument."""

_FLOATING = "floating"
_SAMPLES = 2
"""A trial takes as many, however many the program gave."""


class FirstCall:
    """Notes shapes and types at a loss's first call; costs nothing afterwards."""

    def __init__(self, loss: nn.Module) -> None:
        self._shapes: Shapes | None = None
        self._loss = loss
        self._hook: Any = None
        self._listen()

    def _listen(self) -> None:
        if self._hook is None:
            self._hook = self._loss.register_forward_pre_hook(self._note)

    def _hush(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _note(self, loss: nn.Module, arguments: tuple[Any, ...]) -> None:
        del loss
        self._hush()
        if arguments and all(isinstance(it, torch.Tensor) and it.ndim for it in arguments):
            alike = len({it.shape[0] for it in arguments}) == 1
            self._shapes = [
                (
                    [_SAMPLES, *it.shape[1:]] if alike else list(it.shape),
                    _FLOATING if it.is_floating_point() else str(it.dtype).removeprefix("torch."),
                )
                for it in arguments
            ]

    def state(self) -> Shapes | None:
        """What was noted; null before the first call."""
        return self._shapes

    def load_state(self, state: Shapes | None) -> None:
        """The inverse of `state`."""
        self._shapes = state
        if state is None:
            self._listen()
        else:
            self._hush()

    def trouble(self, present: nn.Module, made: nn.Module, place: torch.Tensor) -> str | None:
        """Why another loss could not be called as the present one is; None if it can, or unknown.

        Args:
            present: the loss that the program calls.
            made: the other one.
            place: a tensor of the device and type that the program's floating-point ones have.
        """
        if self._shapes is None:
            return None
        arguments = [
            torch.zeros(
                shape,
                device=place.device,
                dtype=place.dtype if kind == _FLOATING else getattr(torch, kind),
            )
            for shape, kind in self._shapes
        ]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = present.forward(*arguments).shape
            except Exception:  # so zeros are not what it takes, and nothing can be said
                return None
            try:
                found = made.forward(*arguments).shape
            except Exception as error:  # whatever torch says of arguments that do not fit
                return f"cannot take what this program gives its loss: {error}"
        if found != expected:
            return (
                f"would give an array of shape {tuple(found)} where the present loss gives "
                f"{tuple(expected)}"
            )
        return None
