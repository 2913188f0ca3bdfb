"""Compiling the model, by torch.compile."""

import os
import shutil
from collections.abc import Callable

import torch
from torch import nn

from midcourse.contract.errors import Fault, InvalidInput

VARIANTS = 64
"""How many variants of the model may be compiled: one for each batch size, precision and mode that
occurs. Beyond it torch would fall back to the uncompiled model, whose bits differ."""


def compile_model(
    model: nn.Module,
    device: torch.device,
    find: Callable[[str], str | None] = shutil.which,
) -> None:
    """Have a model compiled when it is first used, in place: its state keeps its names.

    Each batch size is compiled for itself: else the code, and with it the bits, would depend on
    the sizes that came before, which a restarted run has not seen.

    Args:
        model: the model.
        device: where it computes.
        find: where a program is, or None.

    Raises:
        InvalidInput: nothing can be compiled on this machine.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if not any(find(name) for name in names):
        _refuse(
            f"needs a C++ compiler, and this machine has no {' or '.join(names)}; install one "
            "(Debian: apt install g++), or set this to false"
        )
    try:
        double = torch.compile(_double)
        with torch.no_grad():
            double(torch.ones(2, device=device))
    except Exception as error:  # whatever the compilers below torch have to say
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        _refuse(f"cannot compile on this machine: {reason}; set this to false")
    torch._dynamo.config.recompile_limit = VARIANTS
    model.compile(dynamic=False)


def _double(numbers: torch.Tensor) -> torch.Tensor:
    return numbers * 2


def _refuse(message: str) -> None:
    raise InvalidInput([Fault(path="train.compile", message=message)])
