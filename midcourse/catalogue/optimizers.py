"""Torch's optimizers by name, with the options that their signatures declare."""

import inspect
from typing import Any

import torch
from torch.optim import Optimizer

from midcourse.catalogue.registry import Registry

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", given=1)
"""Functions of the model's parameters."""

_UNFIT = {"LBFGS", "SparseAdam", "Muon"}
"""They want a closure, sparse gradients, matrices only."""

_HIDDEN = ("capturable", "differentiable")
"""For CUDA graphs and for differentiating through the step: the loop does neither."""

_DEFAULTS: dict[str, dict[str, Any]] = {"SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}}
"""The default training's; all other defaults are torch's own."""


def _register_all() -> None:
    for name, cls in sorted(inspect.getmembers(torch.optim, inspect.isclass)):
        if issubclass(cls, Optimizer) and cls is not Optimizer and name not in _UNFIT:
            OPTIMIZERS.register(
                name.lower(),
                alias=name,
                hidden=_HIDDEN,
                defaults=_DEFAULTS.get(name),
                summary=f"torch.optim.{name}",
            )(cls)


_register_all()
