"""The model's live parameters: `model.dropout`, `model.frozen` and `model.frozen_statistics`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.live_parameter import LiveParameter
from midcourse.live import batch_norm, dropout, frozen
from midcourse.live.part import Changes, CheckEach, Part, Values


class ModelPart(Part):
    """What may be changed of a model. Weights and buffers are kept by its own state dict."""

    def __init__(
        self, model: nn.Module, find_optimizers: Callable[[], Iterable[Optimizer]]
    ) -> None:
        """Tie the parameters to a model.

        Args:
            model: the tracked one.
            find_optimizers: gives the tracked ones, which may be tracked later.
        """
        self._dropout = dropout.Dropout(model)
        self._frozen = frozen.Frozen(model, find_optimizers)
        self._statistics = batch_norm.Statistics(model)

    def declarations(self) -> list[LiveParameter]:
        """Those for which the model has layers."""
        held = {
            dropout.NAME: self._dropout,
            frozen.NAME: self._frozen,
            batch_norm.NAME: self._statistics,
        }
        return [BUILT_IN[name] for name, layers in held.items() if layers]

    def read(self) -> Values:
        """From the layers."""
        values: Values = {}
        if self._dropout:
            values[dropout.NAME] = self._dropout.read()
        if self._frozen:
            values[frozen.NAME] = self._frozen.read()
        if self._statistics:
            values[batch_norm.NAME] = self._statistics.read()
        return values

    def resolve(self, changes: Changes) -> Values:
        """Patterns become the layers that they match."""
        check = CheckEach()
        values: Values = {}
        if dropout.NAME in changes:
            values[dropout.NAME] = self._dropout.resolve(changes[dropout.NAME], check)
        if frozen.NAME in changes:
            values[frozen.NAME] = self._frozen.resolve(changes[frozen.NAME], check)
        if batch_norm.NAME in changes:
            values[batch_norm.NAME] = changes[batch_norm.NAME].value
        check.done()
        return values

    def apply(self, changes: Changes) -> Values:
        """Set the layers; the statistics last, since they follow from what is frozen."""
        if dropout.NAME in changes:
            self._dropout.apply(changes[dropout.NAME])
        if frozen.NAME in changes:
            self._frozen.apply(changes[frozen.NAME])
        wanted = changes[batch_norm.NAME].value if batch_norm.NAME in changes else None
        assert wanted is None or isinstance(wanted, bool)
        self._statistics.hold(wanted)
        return {}

    def snapshot(self) -> Callable[[], None]:
        """Undo all three."""
        undo = [it.snapshot() for it in (self._dropout, self._frozen, self._statistics)]

        def restore() -> None:
            for each in undo:
                each()

        return restore

    def state(self) -> dict[str, Any]:
        """By the names of layers and weights."""
        return {
            "dropout": self._dropout.state(),
            "frozen": self._frozen.state(),
            "frozen_statistics": self._statistics.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """What the state does not know, as after a warm start, stays as the program made it."""
        self._dropout.load_state(state["dropout"])
        self._frozen.load_state(state["frozen"])
        self._statistics.hold(state["frozen_statistics"])
