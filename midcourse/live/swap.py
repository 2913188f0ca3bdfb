"""Making a live optimizer or scheduler another one, in place.

The program holds the object in a variable of its own and goes on calling `step()` on it; torch's
GradScaler knows it by its id. So the object stays and takes over the class and the attributes of
one that is made for the purpose.
"""

from typing import Any

from pydantic import ValidationError
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from midcourse.catalogue.registry import Registry
from midcourse.catalogue.schedulers import Constant
from midcourse.contract.errors import faults_of
from midcourse.live import groups, schedules
from midcourse.live.rehearsal import watch_steps

_HOOKS = "_optimizer_"
"""Hooks, which belong to the program, are kept in attributes whose names begin so."""

_OF_CLASS = {
    "defaults",
    "_zero_grad_profile_name",
    "_need_device_dtype_check_for_fused",
    "_numel_cache",
    "_params",
    "_step_supports_amp_scaling",
    "_warned_capturable_if_run_uncaptured",
}
"""Attributes that depend on the class: what is made anew has its own, if it needs any."""

_STAYING = ("lr", "weight_decay", "momentum", "betas", "maximize")
"""Options of each group that another optimizer takes over where it has them. `maximize` is not a
trait of the method: it says where the program wants to go."""


def fresh_optimizer(optimizer: Optimizer, registry: Registry[Optimizer], name: str) -> Optimizer:
    """A newly made optimizer for the parameters and groups of one that stays as it is.

    Args:
        optimizer: whose place it can take.
        registry: where `name` is.
        name: the new one's; if it is the present one's, all options stay.

    Raises:
        ValueError: it cannot take that place; says why.
    """
    _check_reachable(optimizer)
    same = registry.name_of(optimizer) == name
    staying = optimizer.defaults if same else _STAYING
    try:
        default = registry.make(name, [{"params": group["params"]} for group in _groups(optimizer)])
        alike = []
        for group in _groups(optimizer):
            kept = {key: group[key] for key in staying if key in group and key in default.defaults}
            alike.append({"params": group["params"], **kept})
        made = registry.make(name, alike)
    except ValidationError as error:
        said = "; ".join(f"{fault.path} {fault.message}" for fault in faults_of(error))
        raise ValueError(f"cannot become {name}: {said}") from error
    except Exception as error:  # whatever a registered function says
        raise ValueError(f"cannot become {name}: {error}") from error
    for group, old in zip(made.param_groups, _groups(optimizer), strict=True):
        own = {key: old[key] for key in old if key not in optimizer.defaults and key not in group}
        group.update(own, params=old["params"])
    return made


def _groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    return optimizer.param_groups


def _check_reachable(optimizer: Optimizer) -> None:
    if "param_groups" not in vars(optimizer):
        raise ValueError(
            f"cannot be swapped: {type(optimizer).__name__} stands before another optimizer; track "
            "that one"
        )
    step = vars(optimizer).get("step")
    if step is not None and not hasattr(step, "_wrapped_by_lr_sched"):
        raise ValueError(
            "cannot be swapped: something has replaced step() on the optimizer itself and would go "
            "on calling the old one's"
        )


def become_optimizer(optimizer: Optimizer, made: Optimizer) -> None:
    """Make `optimizer` what `made` is; hooks and the program's own attributes stay."""
    old = dict(vars(optimizer))
    staying = {
        key: value
        for key, value in old.items()
        if key.startswith(_HOOKS) or (key not in vars(made) and key not in _OF_CLASS)
    }
    _take_over(optimizer, made)
    vars(optimizer).update(staying)
    if "step" in old:
        watch_steps(optimizer)


def belongings(optimizer: Optimizer) -> dict[str, Any]:
    """What an optimizer has by its class, beside groups and state."""
    return {key: value for key, value in vars(optimizer).items() if key in _OF_CLASS}


def give_back(optimizer: Optimizer, kind: type[Optimizer], own: dict[str, Any]) -> None:
    """Make an optimizer of its first class again; its groups and state are to be loaded."""
    for key in belongings(optimizer):
        del vars(optimizer)[key]
    optimizer.__class__ = kind
    vars(optimizer).update(own)


def become_scheduler(scheduler: LRScheduler, made: LRScheduler, optimizer: Optimizer) -> None:
    """Make `scheduler` what `made` is, shaping `optimizer`."""
    _take_over(scheduler, made)
    scheduler.optimizer = optimizer
    # A plateau scheduler, for one, has not asked to see the optimizer's steps.
    watch_steps(optimizer)


def _take_over(thing: Any, made: Any) -> None:
    thing.__class__ = type(made)
    vars(thing).clear()
    vars(thing).update(vars(made))


def check_endable(scheduler: Any) -> None:
    """Whether a schedule can be ended.

    Raises:
        ValueError: it is none of torch's, so what its other methods owe the program is unknown.
    """
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        raise ValueError(
            f"cannot override the scheduler {type(scheduler).__name__}, which is no LRScheduler"
        )


def end_schedule(optimizer: Optimizer, scheduler: LRScheduler, rates: list[float]) -> None:
    """Let a scheduler have no effect any more, though the program goes on stepping it.

    Args:
        optimizer: which keeps the momentum that it has now.
        scheduler: becomes a `Constant`.
        rates: of each group, from now on.
    """
    schedules.drop_group_keys(optimizer, scheduler)
    groups.set_rates(optimizer, rates)
    become_scheduler(scheduler, Constant(optimizer), optimizer)
