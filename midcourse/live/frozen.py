"""`model.frozen`: the weights that stand still.

A frozen weight asks for no gradient and has none: torch's optimizers pass over a weight whose
`.grad` is None, momentum, weight decay and moments included, where one of zeros would still move
it. Its optimizer state stays, so that it goes on from there once it is let go.
"""

from collections.abc import Callable, Iterable, Mapping

from pydantic import JsonValue
from torch import nn
from torch.optim import Optimizer

from midcourse.contract.live_parameter import Change
from midcourse.live.layers import match, shortest, unwrapped
from midcourse.live.part import CheckEach

NAME = "model.frozen"


def weights_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a model that can be trained, by name; one that is tied has several names."""
    named = unwrapped(model).named_parameters(remove_duplicate=False)
    return {
        name: weight for name, weight in named if weight.is_floating_point() or weight.is_complex()
    }


class Frozen:
    """Which weights of a model are frozen."""

    def __init__(
        self, model: nn.Module, find_optimizers: Callable[[], Iterable[Optimizer]]
    ) -> None:
        """Tie the parameter to a model.

        Args:
            model: whose weights.
            find_optimizers: those that are tracked. What the program itself has frozen may be
                left out of them, and is then not let go.
        """
        self._model = model
        self._find_optimizers = find_optimizers
        self._frozen_by_program = {
            id(it) for it in weights_of(model).values() if not it.requires_grad
        }

    def __bool__(self) -> bool:
        return bool(weights_of(self._model))

    def state(self) -> dict[str, bool]:
        """Whether each weight is frozen, by the weight's name."""
        return {name: not it.requires_grad for name, it in weights_of(self._model).items()}

    def load_state(self, state: Mapping[str, bool]) -> None:
        """Freeze and let go as the state has it; weights it does not know stay as they are."""
        for name, weight in weights_of(self._model).items():
            if name in state:
                _hold(weight, state[name])

    def read(self) -> JsonValue:
        """The modules of which all weights are frozen, and single weights beside them."""
        return _told(self.state())

    def resolve(self, change: Change, check: CheckEach) -> JsonValue:
        """What `read` will give; `check` is told of what cannot be."""
        wanted = self.wanted(change, check)
        weights = weights_of(self._model)
        if all(wanted.values()):
            check.refuse(
                NAME, "would freeze every weight: nothing could train; to hold the run, pause it"
            )
        strangers = self._strangers()
        let_go = [name for name in wanted if not wanted[name] and id(weights[name]) in strangers]
        if let_go:
            check.refuse(
                NAME,
                f"must have {', '.join(shortest(let_go, list(wanted)))}: the optimizer does not "
                "hold these weights, so they could not train",
            )
        return _told(wanted)

    def _strangers(self) -> set[int]:
        """Weights that would not train if they were let go."""
        optimizers = list(self._find_optimizers())
        held = {id(it) for optimizer in optimizers for it in _weights(optimizer)}
        return self._frozen_by_program - held if optimizers else set()

    def wanted(self, change: Change, check: CheckEach) -> dict[str, bool]:
        """The state that a change asks for."""
        assert isinstance(change.value, list)
        weights = weights_of(self._model)
        found = match(map(str, change.value), weights, check, NAME, "layer")
        frozen = {id(weights[name]) for names in found.values() for name in names}
        return {name: id(weight) in frozen for name, weight in weights.items()}

    def apply(self, change: Change) -> None:
        """Set what `resolve` accepted."""
        self.load_state(self.wanted(change, CheckEach()))

    def snapshot(self) -> Callable[[], None]:
        """A function that gives each weight its present gradient back, and whether it wants one."""
        old = [(it, it.requires_grad, it.grad) for it in weights_of(self._model).values()]

        def restore() -> None:
            for weight, trains, gradient in old:
                weight.requires_grad_(trains)
                weight.grad = gradient

        return restore


def _hold(weight: nn.Parameter, frozen: bool) -> None:
    weight.requires_grad_(not frozen)
    if frozen:
        weight.grad = None


def _weights(optimizer: Optimizer) -> list[nn.Parameter]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _told(state: Mapping[str, bool]) -> JsonValue:
    return [*shortest([name for name in state if state[name]], list(state))]
