"""`model.frozen_statistics`: the running statistics of frozen batch-norm layers stand still.

A batch-norm layer uses and keeps its running statistics in evaluation mode. A training loop calls
`model.train()` again and again, so a held layer answers that itself: it notes the mode, for the
day it is let go, and stays in evaluation. (A forward hook would do as well, but for compiled
models: they do not notice hooks that come later.)
"""

from collections.abc import Callable, Mapping

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from midcourse.live.layers import unwrapped

NAME = "model.frozen_statistics"

_TRAIN = "train"


class _Held:
    """Stands in for a held layer's `train`."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer
        self.asked = layer.training

    def __call__(self, mode: bool = True) -> nn.Module:
        """Note the mode, and stay in evaluation."""
        self.asked = mode
        return self._layer


class Statistics:
    """Whether the frozen batch-norm layers of a model keep their running statistics."""

    def __init__(self, model: nn.Module) -> None:
        self._model = unwrapped(model)
        self._wanted = False

    def __bool__(self) -> bool:
        return bool(self._layers())

    def _layers(self) -> dict[str, nn.Module]:
        return {
            name: module
            for name, module in self._model.named_modules()
            if isinstance(module, _NormBase) and module.running_mean is not None
        }

    def read(self) -> bool:
        """Whether the frozen layers are held; where none is frozen, whether they would be."""
        layers, frozen = self._layers(), self._frozen()
        return self._wanted and all(_is_held(layers[name]) for name in frozen)

    def _frozen(self) -> list[str]:
        modules = dict(self._model.named_modules())
        return [name for name in self._layers() if _is_frozen(name, modules)]

    def hold(self, wanted: bool | None = None) -> None:
        """Hold the layers that are frozen by now, and let go of the others.

        Args:
            wanted: the new value; None leaves it, for when other layers have been frozen.
        """
        if wanted is not None:
            self._wanted = wanted
        frozen = self._frozen() if self._wanted else []
        for name, layer in self._layers().items():
            if name in frozen and not _is_held(layer):
                vars(layer)[_TRAIN] = _Held(layer)
                layer.training = False
            elif name not in frozen and _is_held(layer):
                layer.training = vars(layer).pop(_TRAIN).asked

    def snapshot(self) -> Callable[[], None]:
        """A function that holds what is held now, and gives each layer its present mode back."""
        wanted = self._wanted
        old = [
            (it, it.training, held, held.asked if held is not None else None)
            for it in self._layers().values()
            for held in [vars(it).get(_TRAIN)]
        ]

        def restore() -> None:
            self._wanted = wanted
            for layer, mode, held, asked in old:
                vars(layer).pop(_TRAIN, None)
                layer.training = mode
                if held is not None:
                    held.asked = asked
                    vars(layer)[_TRAIN] = held

        return restore

    def state(self) -> bool:
        """The value."""
        return self._wanted


def _is_held(layer: nn.Module) -> bool:
    return isinstance(vars(layer).get(_TRAIN), _Held) and not layer.training


def _is_frozen(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a layer's weights are frozen; if it has none, those of the module that it lies in."""
    while not (weights := list(modules[name].parameters())) and name:
        name = name.rpartition(".")[0]
    return bool(weights) and not any(weight.requires_grad for weight in weights)
