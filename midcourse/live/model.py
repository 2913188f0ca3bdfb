"""Live parameters of the model."""

from collections.abc import Callable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from midcourse.contract.base import Scalar
from midcourse.contract.parameters import BUILT_IN


class Dropout:
    """`model.dropout`: the probability of every dropout layer, which no state dict holds."""

    def __init__(self, model: nn.Module) -> None:
        self.declaration = BUILT_IN["model.dropout"]
        self._layers = dropout_layers(model)

    def read(self) -> float | None:
        """The layers' common probability; None where they differ."""
        rates = {float(layer.p) for layer in self._layers.values()}
        return rates.pop() if len(rates) == 1 else None

    def check(self, value: Scalar) -> None:
        """Nothing beyond type and bounds."""

    def apply(self, value: Scalar) -> None:
        """Set it in every layer."""
        for layer in self._layers.values():
            layer.p = float(value)

    def snapshot(self) -> Callable[[], None]:
        """Undo by giving each layer its own old probability."""
        old = self.state()
        return lambda: self.load_state(old)

    def state(self) -> dict[str, float]:
        """Each layer's probability by the layer's name."""
        return {name: float(layer.p) for name, layer in self._layers.items()}

    def load_state(self, state: dict[str, float]) -> None:
        """Take each layer's probability; layers that the state does not know keep theirs."""
        for name, layer in self._layers.items():
            layer.p = state.get(name, layer.p)


def dropout_layers(model: nn.Module) -> dict[str, _DropoutNd]:
    """The dropout layers of a model by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, _DropoutNd)}
