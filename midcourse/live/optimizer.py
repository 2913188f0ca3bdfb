"""Live parameters of the optimizer. They live in its param groups, which its own state keeps.

`load_state_dict` replaces the group dicts, so no reference to a group is ever kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer, RMSprop

from midcourse.contract.base import Scalar
from midcourse.contract.parameters import BUILT_IN
from midcourse.live import schedules

Groups = list[dict[str, Any]]


class _GroupBinding(ABC):
    """A value held by the optimizer's param groups; its state is the optimizer's own."""

    name: str

    def __init__(self, optimizer: Optimizer) -> None:
        self.declaration = BUILT_IN[self.name]
        self._optimizer = optimizer

    @property
    def _groups(self) -> Groups:
        return self._optimizer.param_groups

    @abstractmethod
    def read(self) -> float:
        """The value, from the group that decides it."""

    def check(self, value: Scalar) -> None:  # noqa: B027  # most have nothing to add
        """Nothing beyond type and bounds."""

    @abstractmethod
    def apply(self, value: Scalar) -> None:
        """Set it in every group."""

    def snapshot(self) -> Callable[[], None]:
        """Undo by giving every group its old options back."""
        old = [
            {key: _copied(group[key]) for key in group if key != "params"} for group in self._groups
        ]

        def restore() -> None:
            for group, options in zip(self._groups, old, strict=True):
                group.update(options)

        return restore

    def state(self) -> None:  # noqa: B027
        """Nothing: the optimizer's state has it."""

    def load_state(self, state: None) -> None:  # noqa: B027
        """Nothing: the optimizer's state has it."""


class LearningRate(_GroupBinding):
    """`optimizer.lr`: the base that the schedule shapes."""

    name = "optimizer.lr"

    def __init__(self, optimizer: Optimizer, find_scheduler: Callable[[], Any]) -> None:
        super().__init__(optimizer)
        self._find_scheduler = find_scheduler

    @property
    def _scheduler(self) -> Any:
        return self._find_scheduler()

    def read(self) -> float:
        """The first group's base."""
        return schedules.bases(self._optimizer, self._scheduler)[0]

    def check(self, value: Scalar) -> None:
        """Whether this scheduler's base can be moved."""
        del value
        schedules.check_movable(self._optimizer, self._scheduler)

    def apply(self, value: Scalar) -> None:
        """Move the base of every group by one ratio, and with it the rate of the next step."""
        schedules.rebase(self._optimizer, self._scheduler, float(value))

    def snapshot(self) -> Callable[[], None]:
        """Undo groups and schedule."""
        restore_groups = super().snapshot()
        restore_schedule = schedules.snapshot(self._scheduler)

        def restore() -> None:
            restore_groups()
            restore_schedule()

        return restore


class Momentum(_GroupBinding):
    """`optimizer.momentum`, or the first beta of optimizers that have betas."""

    name = "optimizer.momentum"

    def read(self) -> float:
        """The first group's."""
        return _momentum(self._groups[0])

    def check(self, value: Scalar) -> None:
        """Nesterov's form needs some momentum."""
        if value == 0 and any(group.get("nesterov") for group in self._groups):
            raise ValueError("must be above 0 with nesterov")

    def apply(self, value: Scalar) -> None:
        """Set it in every group."""
        for group in self._groups:
            if "momentum" in group:
                group["momentum"] = float(value)
            else:
                group["betas"] = (float(value), *group["betas"][1:])
        if value != 0:
            for state in self._without_buffer():
                state["momentum_buffer"] = torch.zeros_like(state["square_avg"])

    def snapshot(self) -> Callable[[], None]:
        """Undo groups and buffers."""
        restore_groups = super().snapshot()
        without = self._without_buffer()

        def restore() -> None:
            restore_groups()
            for state in without:
                state.pop("momentum_buffer", None)

        return restore

    def _without_buffer(self) -> list[dict[str, Any]]:
        """States of an RMSprop that began without momentum: it never makes the buffers later."""
        if not isinstance(self._optimizer, RMSprop):
            return []
        states = list(self._optimizer.state.values())
        return [state for state in states if state and "momentum_buffer" not in state]


class WeightDecay(_GroupBinding):
    """`optimizer.weight_decay`; groups keep their ratios, and one without any gets none."""

    name = "optimizer.weight_decay"

    def _reference(self) -> int:
        decays = [float(group["weight_decay"]) for group in self._groups]
        return next((index for index, decay in enumerate(decays) if decay != 0), 0)

    def read(self) -> float:
        """That of the first group that has any."""
        return float(self._groups[self._reference()]["weight_decay"])

    def apply(self, value: Scalar) -> None:
        """Scale every group; the first that has any gets `value` itself."""
        reference = self._reference()
        old = self.read()
        for index, group in enumerate(self._groups):
            if old == 0 or index == reference:
                group["weight_decay"] = float(value)
            else:
                group["weight_decay"] = float(group["weight_decay"]) / old * float(value)


def _momentum(group: dict[str, Any]) -> float:
    return float(group["momentum"] if "momentum" in group else group["betas"][0])


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def optimizer_bindings(
    optimizer: Optimizer, find_scheduler: Callable[[], Any]
) -> list[_GroupBinding]:
    """The bindings that this optimizer's groups can hold.

    Args:
        optimizer: whose groups hold the values.
        find_scheduler: the scheduler that shapes its rate, which may be tracked later; or None.
    """
    groups = optimizer.param_groups
    bindings: list[_GroupBinding] = []
    if all("lr" in group for group in groups):
        bindings.append(LearningRate(optimizer, find_scheduler))
    if all("momentum" in group or "betas" in group for group in groups):
        bindings.append(Momentum(optimizer))
    if all("weight_decay" in group for group in groups):
        bindings.append(WeightDecay(optimizer))
    return bindings
