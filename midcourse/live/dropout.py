"""`model.dropout`: the probability of each dropout layer, which no state dict holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from midcourse.contract.live_parameter import Change
from midcourse.live.layers import match, unwrapped
from midcourse.live.part import CheckEach

NAME = "model.dropout"


@dataclass
class _Layer:
    """A layer that drops values, and the attribute that says how many."""

    module: nn.Module
    attribute: str

    @property
    def p(self) -> float:
        return float(getattr(self.module, self.attribute))

    @p.setter
    def p(self, value: float) -> None:
        setattr(self.module, self.attribute, value)


def dropout_layers(model: nn.Module) -> dict[str, _Layer]:
    """The layers of a model that drop values, by name: also attention, and stacked RNNs."""
    found = {}
    for name, module in unwrapped(model).named_modules():
        if isinstance(module, _DropoutNd):
            found[name] = _Layer(module, "p")
        elif isinstance(module, nn.MultiheadAttention) or (
            isinstance(module, nn.RNNBase) and module.num_layers > 1
        ):
            found[name] = _Layer(module, "dropout")
    return found


class Dropout:
    """The probabilities of a model's dropout layers."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = dropout_layers(model)

    def __bool__(self) -> bool:
        return bool(self._layers)

    def state(self) -> dict[str, float]:
        """Each layer's probability by the layer's name."""
        return {name: layer.p for name, layer in self._layers.items()}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Take each layer's probability; layers that the state does not know keep theirs."""
        for name in self._layers.keys() & state.keys():
            self._layers[name].p = state[name]

    def read(self) -> JsonValue:
        """The layers' common probability; an object by layer where they differ."""
        return _told(self.state())

    def resolve(self, change: Change, check: CheckEach) -> JsonValue:
        """What `read` will give; `check` is told of patterns that match no dropout layer."""
        return _told(self._wanted(change, check))

    def apply(self, change: Change) -> None:
        """Set what `resolve` accepted."""
        self.load_state(self._wanted(change, CheckEach()))

    def _wanted(self, change: Change, check: CheckEach) -> dict[str, float]:
        value = change.value
        if not isinstance(value, dict):
            assert isinstance(value, float)
            return dict.fromkeys(self._layers, value)
        if not value:
            check.refuse(NAME, "names no layer; give a number, or an object by layer pattern")
        wanted = self.state()
        for pattern, names in match(value, self._layers, check, NAME, "dropout layer").items():
            rate = value[pattern]
            assert isinstance(rate, float)
            wanted |= dict.fromkeys(names, rate)
        return wanted

    def snapshot(self) -> Callable[[], None]:
        """A function that gives each layer its present probability back."""
        old = {name: getattr(it.module, it.attribute) for name, it in self._layers.items()}
        return lambda: self.load_state(old)


def _told(rates: dict[str, float]) -> JsonValue:
    different = set(rates.values())
    if len(different) == 1:
        return different.pop()
    return {**rates}
