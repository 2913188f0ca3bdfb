"""What becomes of an optimizer's moments when another takes its place.

`carry` is for moments that mean the same in both, so that the new optimizer goes on as if it had
gathered them itself:

| from and to | carried |
|---|---|
| an optimizer and itself | everything |
| Adam, AdamW, NAdam, RAdam, to one another | `exp_avg`, `exp_avg_sq`, `step` |

What the new one needs beside them follows from them: NAdam's `mu_product` from the count of steps;
`max_exp_avg_sq` of `amsgrad` is `exp_avg_sq`, the largest that is known.

Everything else is refused, since it only looks alike: the momentum buffer of SGD sums gradients,
that of RMSprop sums gradients that are divided by their size; Adamax keeps a largest gradient
where Adam keeps a mean square; the mean squares of RMSprop and Adadelta lack the first moment and
the count from which Adam corrects its bias.
"""

from typing import Any

import torch
from torch.optim import Adam, AdamW, NAdam, Optimizer, RAdam

_ADAM_FAMILY = (Adam, AdamW, NAdam, RAdam)
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def check(old: Optimizer, new: Optimizer) -> None:
    """Whether the moments of `old` mean the same in `new`.

    Raises:
        ValueError: they do not; says which do.
    """
    family = type(old) in _ADAM_FAMILY and type(new) in _ADAM_FAMILY
    if not family and type(old) is not type(new):
        names = ", ".join(kind.__name__ for kind in _ADAM_FAMILY)
        raise ValueError(
            f"the moments of {type(old).__name__} do not mean the same in {type(new).__name__}, "
            f"so they cannot be carried; those of {names} do among one another. Say state: reset"
        )


def carry(old: Optimizer, new: Optimizer) -> list[str]:
    """Give the moments of `old` to `new`, which has the same parameters in the same groups.

    Returns:
        The names of what was carried, sorted.
    """
    carried: set[str] = set()
    for group in new.param_groups:
        for parameter in group["params"]:
            if found := old.state.get(parameter):
                entry = dict(found) if type(old) is type(new) else _of_family(found, group, new)
                carried |= entry.keys() & found.keys()
                new.state[parameter] = entry
    return sorted(carried)


def _of_family(found: dict[str, Any], group: dict[str, Any], new: Optimizer) -> dict[str, Any]:
    entry = {name: found[name] for name in _MOMENTS}
    # Fused and capturable optimizers count on the device; what is made here is neither.
    entry["step"] = found["step"].detach().to("cpu", copy=True)
    if isinstance(new, NAdam):
        entry["mu_product"] = _mu_product(int(entry["step"]), group)
    if group.get("amsgrad"):
        entry["max_exp_avg_sq"] = found.get("max_exp_avg_sq", found["exp_avg_sq"]).clone()
    return entry


def _mu_product(steps: int, group: dict[str, Any]) -> torch.Tensor:
    """The product of NAdam's momentum schedule over the steps so far (Dozat 2016, algorithm 2)."""
    product = torch.ones(())
    for step in range(1, steps + 1):
        if product == 0:
            break
        product *= group["betas"][0] * (1.0 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
    return product
