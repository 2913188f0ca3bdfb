"""The loss's live parameters: `loss.name`, and `loss.<option>` for each option of those like it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import JsonValue
from torch import nn

from midcourse.catalogue.losses import LOSSES
from midcourse.catalogue.registry import Registry
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.live_parameter import LiveParameter
from midcourse.errors import CheckpointUnusable
from midcourse.live import become
from midcourse.live.attribute import Attribute
from midcourse.live.declare_options import declare_options
from midcourse.live.first_call import FirstCall
from midcourse.live.layers import unwrapped
from midcourse.live.part import Changes, CheckEach, Part, Values

NAME = "loss.name"
SMOOTHING = "loss.label_smoothing"

Registries = Mapping[str, Registry[nn.Module]]
FindModel = Callable[[], nn.Module | None]


def loss_part(loss: Any, find_model: FindModel, registries: Registries = LOSSES) -> Part | None:
    """The part for a loss.

    Args:
        loss: a module whose class one of the registries knows can be swapped for all others of
            that registry; anything that has a `label_smoothing` can have that changed.
        find_model: gives the model, on whose device a loss keeps its weights.
        registries: of losses that can take each other's place, by the targets that they take.

    Returns:
        None where nothing of the loss can be changed.
    """
    inner = unwrapped(loss) if isinstance(loss, nn.Module) else loss
    if isinstance(inner, nn.Module) and not list(inner.parameters()):
        for targets, registry in registries.items():
            if registry.name_of(inner) is not None:
                return LossPart(inner, targets, registry, find_model)
    if isinstance(getattr(inner, "label_smoothing", None), int | float):
        return Smoothing(BUILT_IN[SMOOTHING], inner, "label_smoothing")
    return None


class Smoothing(Attribute):
    """The `label_smoothing` of a loss of the program's own."""

    def prepare(self, state: Any) -> None:
        """Nothing; a loss of an unknown class cannot become another one.

        Raises:
            CheckpointUnusable: the state is of a loss that was made by name.
        """
        if isinstance(state, Mapping):
            raise CheckpointUnusable(
                f"the checkpoint's loss is {state.get('name')}; the program's is of a class of its "
                "own"
            )


class LossPart(Part):
    """A loss that can be swapped in place: the program's own variable is the new one."""

    def __init__(
        self, loss: nn.Module, targets: str, registry: Registry[nn.Module], find_model: FindModel
    ) -> None:
        """Tie the parameters to a loss.

        Args:
            loss: of a class that the registry knows.
            targets: what the registry's losses take, in a word.
            registry: of the losses that can take its place.
            find_model: gives the model, on whose device the loss keeps its weights.
        """
        self._loss = loss
        self._targets = targets
        self._registry = registry
        self._find_model = find_model
        self._options = declare_options(registry)
        self._first_call = FirstCall(loss)

    def declarations(self) -> list[LiveParameter]:
        """The name, and each option of any loss of the registry."""
        name = BUILT_IN[NAME].model_copy(update={"choices": self._registry.names()})
        return [name, *self._options.values()]

    def read(self) -> Values:
        """From the loss itself; null for options that it does not have."""
        values: Values = dict.fromkeys((f"loss.{option}" for option in self._options), None)
        own = {f"loss.{option}": value for option, value in self._present().items()}
        return {NAME: self._registry.name_of(self._loss), **values, **own}

    def _present(self, loss: nn.Module | None = None) -> dict[str, JsonValue]:
        """The options that a loss has, by their plain names."""
        loss = self._loss if loss is None else loss
        name = self._registry.name_of(loss)
        if name is None:  # the program made it something else
            return {}
        fields = self._registry.entry(name).options.model_fields
        return {option: _plain(getattr(loss, option, None)) for option in fields}

    def resolve(self, changes: Changes) -> Values:
        """What a loss that is made so has."""
        made = self._make(changes)
        values = {f"loss.{option}": value for option, value in self._present(made).items()}
        return {name: values.get(name) for name in changes} | (
            {NAME: self._registry.name_of(made)} if NAME in changes else {}
        )

    def _make(self, changes: Changes) -> nn.Module:
        """The loss that the changes ask for.

        Raises:
            InvalidInput: there is none; says why.
        """
        check = CheckEach()
        given = {
            name.removeprefix("loss."): change.value
            for name, change in changes.items()
            if name != NAME
        }
        present = self._registry.name_of(self._loss)
        name = str(changes[NAME].value) if NAME in changes else present
        if name is None:
            check.refuse(NAME, "must be given: the program has made the loss something unknown")
            check.done()
        assert name is not None
        options = self._registry.entry(name).options.model_fields
        for option in sorted(given.keys() - options.keys()):
            known = f"it has: {', '.join(options)}" if options else "it has none"
            check.refuse(f"loss.{option}", f"is not an option of {name}; {known}")
        check.done()
        staying = {key: value for key, value in self._present().items() if key in options}
        settings, faults = self._registry.check(name, staying | given, "loss")
        for fault in faults:
            check.refuse(fault.path, fault.message, fault.allowed)
        check.done()
        made = self._made(name, {key: settings[key] for key in settings if key != "name"})
        blame = next((it for it in changes if it != NAME), NAME)
        if trouble := become.trouble(self._loss, made) or self._first_call.trouble(
            self._loss, made, self._place()
        ):
            check.refuse(NAME if name != present else blame, trouble)
        check.done()
        return made

    def _made(self, name: str, options: Mapping[str, Any]) -> nn.Module:
        place = self._place()
        made = self._registry.make(name, **options).to(device=place.device, dtype=place.dtype)
        for option, value in options.items():
            if isinstance(getattr(made, option, None), torch.Tensor):  # not rounded on its way
                exact = torch.tensor(value, device=place.device, dtype=place.dtype)
                setattr(made, option, exact)
        if hasattr(made, "reduction") and hasattr(self._loss, "reduction"):
            made.reduction = self._loss.reduction
        return made

    def _place(self) -> torch.Tensor:
        """A tensor of the device and type that the loss's own should have."""
        model = self._find_model()
        candidates = [*self._loss.buffers(), *(model.parameters() if model is not None else ())]
        return next((it for it in candidates if it.is_floating_point()), torch.zeros(()))

    def apply(self, changes: Changes) -> Values:
        """Make the loss what was asked for."""
        self._take(self._make(changes))
        return {}

    def _take(self, made: nn.Module) -> None:
        if type(made) is not type(self._loss):
            become.become(self._loss, made)
        else:
            before = self._made(str(self._registry.name_of(made)), self._present())
            become.take_differences(self._loss, before, made)

    def snapshot(self) -> Callable[[], None]:
        """Undo by giving the loss its class and attributes back."""
        return become.keep(self._loss)

    def state(self) -> dict[str, Any]:
        """Which loss it is; its buffers are in its own state dict, too."""
        return {
            "targets": self._targets,
            "name": self._registry.name_of(self._loss),
            "options": self._present(),
            "first_call": self._first_call.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The rest of the state; what `prepare` made has its own loaded by now."""
        self._first_call.load_state(state["first_call"])

    def prepare(self, state: Any) -> None:
        """Make the loss the one that the state is of.

        Raises:
            CheckpointUnusable: that one cannot take this one's place.
        """
        mine = f"the program's loss is {self._registry.name_of(self._loss)} of {self._targets}"
        known = isinstance(state, Mapping)
        if not known or state.get("targets") != self._targets:
            theirs = (
                f"{state.get('name')} of {state.get('targets')}" if known else "of another kind"
            )
            raise CheckpointUnusable(f"the checkpoint's loss is {theirs}, {mine}")
        name = state["name"]
        if name is None:
            return
        if name not in self._registry:
            raise CheckpointUnusable(f"the checkpoint's loss {name!r} is not registered; {mine}")
        self._take(self._made(name, state["options"]))


def _plain(value: Any) -> JsonValue:
    """An option as JSON has it: a tensor as its numbers."""
    return value.tolist() if isinstance(value, torch.Tensor) else value
