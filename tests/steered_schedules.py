"""Optimizers and schedulers as a program has them, steered as a run's would be."""

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import Optimizer, lr_scheduler

from midcourse.checkpoints.state import pack, unpack
from midcourse.live.optimizer import OptimizerPart
from midcourse.live.scheduler import SchedulerPart
from midcourse.live.table import Applied, LiveTable

BASE, NEW = 0.2, 0.05
Make = Callable[[Optimizer], Any]


def decay(step: int) -> float:
    return 0.9**step


def warm_up(step: int) -> float:
    return min(step / 4, 1.0)


def slower(step: int) -> float:
    return 1 / (1 + step)


def own(optimizer: Optimizer, share: float = 1.0) -> list[float]:
    """A share of each group's rate as the program made it, of which the others are made."""
    return [float(group["lr"]) * share for group in optimizer.param_groups]


def sequential(
    optimizer: Optimizer, makes: list[Make], milestones: list[int]
) -> lr_scheduler.SequentialLR:
    return lr_scheduler.SequentialLR(optimizer, [make(optimizer) for make in makes], milestones)


def chained(optimizer: Optimizer, *makes: Make) -> lr_scheduler.ChainedScheduler:
    return lr_scheduler.ChainedScheduler([make(optimizer) for make in makes])


def one_cycle(optimizer: Optimizer, **options: Any) -> lr_scheduler.OneCycleLR:
    return lr_scheduler.OneCycleLR(optimizer, own(optimizer), total_steps=20, **options)


def cyclic(optimizer: Optimizer, **options: Any) -> lr_scheduler.CyclicLR:
    return lr_scheduler.CyclicLR(
        optimizer, own(optimizer), own(optimizer, 4), step_size_up=3, step_size_down=2, **options
    )


LINEAR: Make = lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, total_iters=4)  # noqa: E731
FLOORED: Make = lambda o: lr_scheduler.CosineAnnealingLR(o, 5, eta_min=0.01)  # noqa: E731
RESTARTED: Make = lambda o: lr_scheduler.CosineAnnealingWarmRestarts(  # noqa: E731
    o, 3, 2, eta_min=0.01
)
EXPONENTIAL: Make = lambda o: lr_scheduler.ExponentialLR(o, 0.9)  # noqa: E731
CONSTANT: Make = lambda o: lr_scheduler.ConstantLR(o, 0.25, total_iters=5)  # noqa: E731
STEPS: Make = lambda o: lr_scheduler.StepLR(o, 3, 0.5)  # noqa: E731

MADE: dict[str, Make] = {
    "none": lambda o: None,
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, decay),
    "LambdaLR of groups": lambda o: lr_scheduler.LambdaLR(o, [decay, slower][: len(own(o))]),
    "LambdaLR from 0": lambda o: lr_scheduler.LambdaLR(o, warm_up),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, slower),
    "StepLR": STEPS,
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 4, 4, 6], 0.5),
    "ConstantLR": CONSTANT,
    "LinearLR": LINEAR,
    "LinearLR from next to nothing": lambda o: lr_scheduler.LinearLR(o, 1e-9, 1.0, total_iters=4),
    "ExponentialLR": EXPONENTIAL,
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=7, power=2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingLR with floor": FLOORED,
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "CosineAnnealingWarmRestarts with floor": RESTARTED,
    "CyclicLR": cyclic,
    "CyclicLR triangular2": lambda o: cyclic(o, mode="triangular2"),
    "CyclicLR exp_range": lambda o: cyclic(o, mode="exp_range", gamma=0.9, cycle_momentum=False),
    "OneCycleLR": one_cycle,
    "OneCycleLR linear": lambda o: one_cycle(o, anneal_strategy="linear", three_phase=True),
    "OneCycleLR alone": lambda o: one_cycle(o, cycle_momentum=False),
    "SequentialLR": lambda o: sequential(o, [LINEAR, EXPONENTIAL, STEPS], [3, 5]),
    "SequentialLR with floors": lambda o: sequential(o, [LINEAR, FLOORED, RESTARTED], [3, 6]),
    "SequentialLR into what multiplies": lambda o: sequential(
        o, [FLOORED, lambda o: lr_scheduler.MultiplicativeLR(o, slower)], [4]
    ),
    "ChainedScheduler": lambda o: chained(o, CONSTANT, EXPONENTIAL),
    "ChainedScheduler with floor": lambda o: chained(o, FLOORED, EXPONENTIAL),
    "ChainedScheduler of a SequentialLR": lambda o: chained(
        o, lambda o: sequential(o, [LINEAR, FLOORED], [3]), EXPONENTIAL
    ),
}


class Steered:
    """An optimizer of two groups under a scheduler, steered as a run's would be."""

    def __init__(
        self, make: Make, base: float = BASE, ratio: float = 3.0, kind: Any = torch.optim.SGD
    ) -> None:
        momentum = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        self.weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
        groups = [
            {"params": [self.weights[0]], "lr": base},
            {"params": [self.weights[1]], "lr": base * ratio},
        ]
        self.optimizer = kind(groups, lr=base, **momentum)
        self.scheduler = make(self.optimizer)
        self.parts: dict[str, Any] = {
            "optimizer": OptimizerPart(self.optimizer, lambda: self.scheduler)
        }
        if isinstance(self.scheduler, lr_scheduler.LRScheduler):
            self.parts["scheduler"] = SchedulerPart(self.scheduler)
        self.parameters = LiveTable()
        for name, part in self.parts.items():
            self.parameters.add(name, part, check=False)

    def rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def momenta(self) -> list[float]:
        return [
            group["momentum"] if "momentum" in group else group["betas"][0]
            for group in self.optimizer.param_groups
        ]

    def step(self, *told: float) -> list[float]:
        for weight in self.weights:
            weight.grad = torch.ones(2)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step(*told)
        return self.rates()

    def set(self, value: Any, name: str = "optimizer.lr") -> Applied:
        return self.parameters.apply(self.parameters.check({name: value}))

    def value(self, name: str = "optimizer.lr") -> Any:
        return self.parameters.values()[name]

    def hash(self) -> str:
        """sha256 over the state of optimizer, scheduler and parameters, to the bit."""
        plain, tensors = self.state()
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for name in sorted(tensors):
            digest.update(str((name, tensors[name].dtype, tuple(tensors[name].shape))).encode())
            digest.update(tensors[name].detach().numpy().tobytes())
        return digest.hexdigest()

    def state(self) -> Any:
        objects = {"optimizer": self.optimizer.state_dict()}
        if self.scheduler is not None:
            objects["scheduler"] = self.scheduler.state_dict()
        return copy.deepcopy(pack({"objects": objects, "parameters": self.parameters.state()}))

    def load(self, packed: Any) -> None:
        state = unpack(*packed)
        self.parameters.prepare(state["parameters"])
        self.optimizer.load_state_dict(state["objects"]["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["objects"]["scheduler"])
        self.parameters.load_state(state["parameters"])


def close(rates: list[float]) -> Any:
    return pytest.approx(rates, rel=1e-9, abs=1e-12)
