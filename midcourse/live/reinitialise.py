"""Giving layers fresh weights, as their own `reset_parameters` draws them."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.optim import LBFGS, Optimizer

from midcourse.data import sub_seed
from midcourse.errors import CommandRejected, MidcourseError
from midcourse.live.keep import keep_optimizer
from midcourse.live.layers import WHOLE, fits, match, unwrapped
from midcourse.live.part import CheckEach, Values
from midcourse.rng import seed_everything, undisturbed_everywhere

LAYERS = "layers"


class NotReset(MidcourseError):
    """A layer's `reset_parameters` did not do what it is for."""


@dataclass(frozen=True)
class Told:
    """What a receipt tells: each layer's weights before and after, by their hash."""

    before: Values
    after: Values
    details: Values = field(default_factory=dict)


def check_reinitialise(model: nn.Module | None, patterns: Iterable[str]) -> None:
    """Whether layers can be given fresh weights.

    Raises:
        CommandRejected: no model is tracked.
        InvalidInput: with a fault for each pattern that matches no layer, and for each layer that
            holds weights and cannot make new ones.
    """
    _layers(model, patterns)


def reinitialise(
    model: nn.Module | None, optimizer: Optimizer | None, patterns: Iterable[str], seed: int | str
) -> Told:
    """Give layers fresh weights and statistics, and forget what the optimizer knows of them.

    The fresh weights follow from `seed` alone; the run's own random numbers go on as if nothing
    had been drawn. Weights that are frozen are renewed as well, and stay frozen.

    Args:
        model: the tracked one.
        optimizer: the tracked one, if there is one.
        patterns: of layer names.
        seed: of the fresh weights.

    Returns:
        The hashes of each layer's weights before and after, and how much was renewed.

    Raises:
        CommandRejected: no model is tracked.
        InvalidInput: the layers cannot be renewed.
        NotReset: a layer kept weights; everything is as it was.
    """
    layers = _layers(model, patterns)
    weights = _weights(layers)
    kept = _Kept(layers, optimizer)
    before = _hashes(layers)
    try:
        with undisturbed_everywhere(), torch.no_grad():
            seed_everything(sub_seed(seed))
            for layer in layers.values():
                if (reset := _reset_of(layer)) is not None:
                    reset()
        kept.check_all_reset()
        forgotten = _forget(weights, optimizer)
    except BaseException:
        kept.restore()
        raise
    details: Values = {
        LAYERS: [*before],
        "weights": sum(weight.numel() for weight in weights),
        "optimizer_states_reset": forgotten,
    }
    return Told({**before}, {**_hashes(layers)}, details)


def _layers(model: nn.Module | None, patterns: Iterable[str]) -> dict[str, nn.Module]:
    """The modules that patterns match, by name, innermost first: outer ones have the last word."""
    if model is None:
        raise CommandRejected("this program tracks no model, so there are no layers to renew")
    modules = dict(unwrapped(model).named_modules())
    check = CheckEach()
    holding = [name for name, it in modules.items() if _own(it) or _reset_of(it) is not None]
    found = match(patterns, holding, check, LAYERS, "layer")
    layers = {
        name: it for name, it in modules.items() if any(fits(pattern, name) for pattern in found)
    }
    for name, layer in layers.items():
        if (trouble := _trouble(name, layer, layers)) is not None:
            check.refuse(LAYERS, f"{name or WHOLE} {trouble}")
    check.done()
    order = sorted(layers, key=lambda name: -len(name.split(".")) if name else 0)
    return {name or WHOLE: layers[name] for name in order}


def _trouble(name: str, layer: nn.Module, layers: dict[str, nn.Module]) -> str | None:
    """Why a layer cannot be renewed; None if it can."""
    own = [key for key, weight in layer._parameters.items() if weight is not None]
    if any(is_lazy(weight) for weight in _own(layer).values()):
        return "has no weights before its first step"
    if parametrize.is_parametrized(layer):
        return "is parametrized: its reset_parameters() would not reach its weights"
    resets = [it for it in layers if _reset_of(layers[it]) is not None and _is_in(name, it)]
    if own and not resets:
        return f"holds weights ({', '.join(own)}) and has no reset_parameters() to renew them by"
    return None


def _is_in(name: str, other: str) -> bool:
    return not other or name == other or name.startswith(f"{other}.")


def _reset_of(layer: nn.Module) -> Callable[[], Any] | None:
    """What renews a layer; torch's attention and transformer have it under another name."""
    for name in ("reset_parameters", "_reset_parameters"):
        reset = getattr(layer, name, None)
        if callable(reset):
            return reset  # type: ignore[no-any-return]
    return None


def _own(layer: nn.Module) -> dict[str, torch.Tensor]:
    """The weights and buffers that a module holds itself."""
    held = {**layer._parameters, **layer._buffers}
    return {key: tensor for key, tensor in held.items() if tensor is not None}


def _weights(layers: dict[str, nn.Module]) -> list[nn.Parameter]:
    found = {
        id(weight): weight
        for layer in layers.values()
        for weight in layer._parameters.values()
        if weight is not None
    }
    return list(found.values())


def _hashes(layers: dict[str, nn.Module]) -> dict[str, str]:
    """A short hash of what each layer holds itself, by name; none for those that hold nothing."""
    hashes = {}
    for name, layer in sorted(layers.items()):
        digest = hashlib.sha256()
        for key, tensor in sorted(_own(layer).items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        if _own(layer):
            hashes[name] = f"sha256:{digest.hexdigest()[:16]}"
    return hashes


class _Kept:
    """Layers and what an optimizer knows, as they were."""

    def __init__(self, layers: dict[str, nn.Module], optimizer: Optimizer | None) -> None:
        self._layers = layers
        self._held = [
            (layer, dict(layer._parameters), dict(layer._buffers)) for layer in layers.values()
        ]
        tensors = {id(it): it for layer in layers.values() for it in _own(layer).values()}
        self._tensors = [(it, it._version, it.detach().clone()) for it in tensors.values()]
        self._gradients = [(weight, weight.grad) for weight in _weights(layers)]
        self._restore_optimizer = None if optimizer is None else keep_optimizer(optimizer)

    def check_all_reset(self) -> None:
        """Whether each weight was written to.

        Raises:
            NotReset: one was not, or another took its place.
        """
        untouched = {
            id(it) for it, version, old in self._tensors if _is_untouched(it, version, old)
        }
        for name, (layer, weights, _) in zip(self._layers, self._held, strict=True):
            for key, weight in weights.items():
                if layer._parameters.get(key) is not weight:
                    raise NotReset(
                        f"{name} has another {key} after its reset_parameters(), which the "
                        "optimizer would not know"
                    )
                if weight is not None and id(weight) in untouched:
                    raise NotReset(f"{name} kept its {key}: no reset_parameters() renews it")

    def restore(self) -> None:
        """Put everything back."""
        for layer, weights, buffers in self._held:
            for holder, old in ((layer._parameters, weights), (layer._buffers, buffers)):
                holder.clear()
                holder.update(old)  # type: ignore[arg-type]
        with torch.no_grad():
            for tensor, _, old_values in self._tensors:
                tensor.copy_(old_values)
        for weight, gradient in self._gradients:
            weight.grad = gradient
        if self._restore_optimizer is not None:
            self._restore_optimizer()


def _is_untouched(tensor: torch.Tensor, version: int, old: torch.Tensor) -> bool:
    """Whether nothing wrote to a tensor; what is constant may have been given the same again."""
    if tensor._version != version or not torch.equal(tensor, old):
        return False
    return tensor.numel() > 0 and not bool((old == old.flatten()[0]).all())


def _forget(weights: Iterable[nn.Parameter], optimizer: Optimizer | None) -> int:
    """Drop gradients and the optimizer's state of weights; how many had any."""
    forgotten = 0
    if isinstance(optimizer, LBFGS):  # its one state is of all weights together
        forgotten = len(optimizer.state)
        optimizer.state.clear()
    for weight in weights:
        weight.grad = None
        if optimizer is not None and optimizer.state.pop(weight, None):
            forgotten += 1
            if first := _first_state(optimizer, weight):
                optimizer.state[weight] = first
    return forgotten


def _first_state(optimizer: Optimizer, weight: nn.Parameter) -> dict[str, Any]:
    """What an optimizer's constructor knows of a weight: mostly nothing, but Adagrad needs it."""
    group = next(
        group for group in optimizer.param_groups if any(it is weight for it in group["params"])
    )
    options = {key: value for key, value in group.items() if key != "param_names"}
    kind: Any = type(optimizer)
    try:
        made: Optimizer = kind([{**options, "params": [weight]}])
    except Exception:  # one of the program's own that wants more; it makes its states when it steps
        return {}
    return dict(made.state.get(weight, {}))
