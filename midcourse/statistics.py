"""Per-layer statistics: how large each layer's gradient, weights and update are, step by step.

They are taken in the hooks that torch's optimizers have, so the training loop needs no call: before
an optimizer's step the gradients are there and the weights are the old ones, after it the weights
are the new ones. All layers are measured in a few calls, and nothing waits for the device.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import optimizer as hooks

GRADIENTS: Final = "gradients/"
"""Begins the metric with the norm of a parameter's gradient, as the optimizer's step uses it."""
WEIGHTS: Final = "weights/"
"""The norm of its weights after the step."""
UPDATES: Final = "updates/"
"""The norm of what the step changed of them."""


class Watch:
    """Watches the layers of a model, whichever optimizers move them, until it is closed.

    An optimizer may be exchanged while it watches: it listens to all of them, and takes the
    parameters that are the model's.
    """

    def __init__(
        self,
        model: nn.Module,
        log: Callable[[tuple[str, ...], Tensor], None],
        due: Callable[[], bool],
        *,
        updates: bool = True,
    ) -> None:
        """Begin to watch.

        Args:
            model: whose parameters, by their names in it.
            log: takes names and a 1-dim tensor with a value for each; called in the step. The
                names are the same tuple as long as the same parameters have gradients.
            due: whether the step in progress is to be measured.
            updates: also measure the updates, which takes a copy of the weights.
        """
        self._model = model
        self._log = log
        self._due = due
        self._with_updates = updates
        self._old: list[Tensor] = []
        """What the parameters were, and after a step the room for what they will have been."""
        self._watched: list[tuple[str, nn.Parameter]] = []
        self._gradients: tuple[list[str], list[Tensor]] = ([], [])
        self._names: tuple[tuple[str, ...], list[str], list[str]] = ((), [], [])
        self._handles = [
            hooks.register_optimizer_step_pre_hook(self._before),
            hooks.register_optimizer_step_post_hook(self._after),
        ]

    def close(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._watched, self._old, self._gradients = [], [], ([], [])

    @torch.no_grad()
    def _before(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._watched = self._parameters(optimizer) if self._due() else []
        if not self._watched:
            return
        graded = [(name, each.grad) for name, each in self._watched if each.grad is not None]
        names, gradients = [name for name, _ in graded], [_dense(each) for _, each in graded]
        norms = _norms(gradients)
        # With fp16 a fused optimizer takes gradients that are still scaled up.
        scale = getattr(optimizer, "grad_scale", None)
        self._gradients = names, norms if scale is None else [each / scale for each in norms]
        if self._with_updates:
            weights = [each.detach() for _, each in self._watched]
            if not _fits(self._old, weights):
                self._old = [torch.empty_like(each) for each in weights]
            torch._foreach_copy_(self._old, weights)

    @torch.no_grad()
    def _after(self, *_: Any) -> None:
        if not self._watched:
            return
        weights = [each.detach() for _, each in self._watched]
        names, norms = self._gradients
        values = [*norms, *_norms(weights)]
        if self._with_updates:
            torch._foreach_sub_(self._old, weights)
            values += _norms(self._old)
        like = values[-1]
        row = torch.stack([each.to(like, non_blocking=True) for each in values])
        self._log(self._row_names(names, [name for name, _ in self._watched]), row)
        self._watched, self._gradients = [], ([], [])

    def _parameters(self, optimizer: torch.optim.Optimizer) -> list[tuple[str, nn.Parameter]]:
        """Those of the model that this optimizer moves, in the model's order."""
        moved = {id(each) for group in optimizer.param_groups for each in group["params"]}
        return [(name, each) for name, each in self._model.named_parameters() if id(each) in moved]

    def _row_names(self, graded: list[str], watched: list[str]) -> tuple[str, ...]:
        """The names of a row; made anew only when they are others than last time."""
        names, old_graded, old_watched = self._names
        if (graded, watched) != (old_graded, old_watched):
            names = (
                *(GRADIENTS + name for name in graded),
                *(WEIGHTS + name for name in watched),
                *(UPDATES + name for name in watched if self._with_updates),
            )
            self._names = names, graded, watched
        return names


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """The Euclidean norms, in float32 at least: squares of large half-precision numbers overflow.

    Of a complex tensor it is that of its parts, of a sparse one that of what is not zero.
    """
    if not tensors:
        return []
    plain = [torch.view_as_real(each) if each.is_complex() else each for each in tensors]
    wide = any(each.dtype == torch.float64 for each in plain)
    return list(torch._foreach_norm(plain, 2, torch.float64 if wide else torch.float32))


def _dense(gradient: Tensor) -> Tensor:
    gradient = gradient.detach()
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _fits(room: Iterable[Tensor], tensors: list[Tensor]) -> bool:
    room = list(room)
    return len(room) == len(tensors) and all(
        old.shape == new.shape and old.dtype == new.dtype and old.device == new.device
        for old, new in zip(room, tensors, strict=True)
    )
