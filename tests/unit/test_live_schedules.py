"""`optimizer.lr` means the same under every scheduler: the base that the schedule shapes."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import Optimizer, lr_scheduler

from midcourse.contract.errors import InvalidInput
from midcourse.contract.parameters import LiveParameter
from midcourse.tracked import Tracked

BASE, NEW = 0.2, 0.05
Make = Callable[[Optimizer], Any]

MOVABLE: dict[str, Make] = {
    "none": lambda o: None,
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: (step + 1) / 10),
    "LambdaLR of groups": lambda o: lr_scheduler.LambdaLR(
        o, [lambda step: 0.9**step, lambda step: 0.8**step][: len(o.param_groups)]
    ),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 1 / (1 + step)),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 4, 4, 6], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.25, total_iters=5),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, total_iters=6),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=7, power=2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingLR with floor": lambda o: lr_scheduler.CosineAnnealingLR(o, 5, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "CosineAnnealingWarmRestarts with floor": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(
        o, 3, eta_min=0.01
    ),
}
REFUSED: dict[str, Make] = {
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "a user's own": lambda o: object(),
}


class Steered:
    """An optimizer of two groups under a scheduler, steered as a run's would be."""

    def __init__(self, make: Make, base: float, ratio: float = 3.0) -> None:
        groups = [
            {"params": [torch.nn.Parameter(torch.zeros(2))], "lr": base},
            {"params": [torch.nn.Parameter(torch.zeros(2))], "lr": base * ratio},
        ]
        self.optimizer = torch.optim.SGD(groups, lr=base, momentum=0.9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.scheduler = make(self.optimizer)
        tracked = Tracked()
        tracked.add({"optimizer": self.optimizer})
        tracked.objects["scheduler"] = self.scheduler
        self.parameters = tracked.parameters

    def rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self) -> list[float]:
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        return self.rates()

    def set(self, value: float) -> tuple[Any, Any]:
        return self.parameters.apply(self.parameters.check({"optimizer.lr": value}))


@pytest.mark.parametrize("moment", range(9))
@pytest.mark.parametrize("name", MOVABLE)
def test_a_new_base_gives_the_schedule_that_began_with_it(name: str, moment: int) -> None:
    steered, fresh = Steered(MOVABLE[name], BASE), Steered(MOVABLE[name], NEW)
    for _ in range(moment):
        steered.step()
        fresh.step()
    before, after = steered.set(NEW)
    assert before["optimizer.lr"] == pytest.approx(BASE)
    assert after["optimizer.lr"] == NEW
    assert steered.rates() == pytest.approx(fresh.rates(), rel=1e-12, abs=1e-15)
    for _ in range(8):
        assert steered.step() == pytest.approx(fresh.step(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", MOVABLE)
def test_to_and_fro_leaves_the_schedule_where_it_was(name: str) -> None:
    steered, untouched = Steered(MOVABLE[name], BASE), Steered(MOVABLE[name], BASE)
    for _ in range(4):
        steered.step()
        untouched.step()
    steered.set(NEW)
    steered.set(BASE)
    for _ in range(6):
        assert steered.step() == pytest.approx(untouched.step(), rel=1e-9, abs=1e-12)


def test_a_plateau_scheduler_goes_on_from_the_new_rate() -> None:
    steered = Steered(lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0), BASE)
    for _ in range(2):
        steered.optimizer.step()
        steered.scheduler.step(1.0)
    assert steered.rates() == pytest.approx([BASE / 2, BASE * 3 / 2])
    before, after = steered.set(NEW)
    assert (before["optimizer.lr"], after["optimizer.lr"]) == (BASE / 2, NEW)
    assert steered.rates() == pytest.approx([NEW, NEW * 3])
    steered.optimizer.step()
    steered.scheduler.step(1.0)
    assert steered.rates() == pytest.approx([NEW / 2, NEW * 3 / 2])


@pytest.mark.parametrize("name", REFUSED)
def test_other_schedulers_are_refused_with_the_allowed_ones_listed(name: str) -> None:
    steered = Steered(REFUSED[name], BASE)
    rates = steered.rates()
    with pytest.raises(InvalidInput, match="cannot be changed under the scheduler") as caught:
        steered.set(NEW)
    assert "StepLR" in str(caught.value)
    assert "CosineAnnealingLR" in str(caught.value)
    assert steered.rates() == rates


def test_a_group_at_rate_zero_stays_there() -> None:
    steered = Steered(MOVABLE["StepLR"], BASE, ratio=0.0)
    steered.set(NEW)
    assert steered.rates() == [NEW, 0.0]


def test_a_first_group_at_rate_zero_has_no_ratio() -> None:
    steered = Steered(MOVABLE["none"], 0.0)
    with pytest.raises(InvalidInput, match="the first param group's is 0"):
        steered.set(NEW)


def test_a_base_on_the_floor_is_refused() -> None:
    steered = Steered(lambda o: lr_scheduler.CosineAnnealingLR(o, 5, eta_min=BASE), BASE)
    with pytest.raises(InvalidInput, match=r"base is 0\.2, the schedule's floor"):
        steered.set(NEW)


def test_a_warm_up_may_begin_at_zero_and_be_tracked_after_its_optimizer() -> None:
    steered = Steered(lambda o: lr_scheduler.LambdaLR(o, lambda step: step / 10), BASE)
    assert steered.rates()[0] == 0.0
    assert steered.parameters.values()["optimizer.lr"] == BASE
    steered.set(NEW)
    assert steered.step() == pytest.approx([NEW / 10, NEW * 3 / 10])


@pytest.mark.parametrize("make", [MOVABLE["none"], MOVABLE["StepLR"], MOVABLE["ConstantLR"]])
def test_a_rate_that_is_a_tensor_is_filled(make: Make) -> None:
    rate = torch.tensor(BASE)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=rate)
    tracked = Tracked()
    tracked.add({"optimizer": optimizer})
    tracked.objects["scheduler"] = make(optimizer)
    held = optimizer.param_groups[0]["lr"]
    _, after = tracked.parameters.apply({"optimizer.lr": NEW})
    assert after["optimizer.lr"] == pytest.approx(NEW, rel=1e-6)
    assert optimizer.param_groups[0]["lr"] is held
    scheduler = tracked.objects["scheduler"]
    factor = 1 if scheduler is None or isinstance(scheduler, lr_scheduler.StepLR) else 0.25
    assert math.isclose(float(held), NEW * factor, rel_tol=1e-6)


class Stubborn:
    """A live parameter that refuses when all others have changed."""

    declaration = LiveParameter(name="stubborn", type="number")

    def read(self) -> float:
        return 1.0

    def check(self, value: Any) -> None:
        pass

    def apply(self, value: Any) -> None:
        raise RuntimeError("I will not")

    def snapshot(self) -> Callable[[], None]:
        return lambda: None

    def state(self) -> None:
        return None

    def load_state(self, state: None) -> None:
        pass


@pytest.mark.parametrize("name", MOVABLE)
def test_a_change_that_is_undone_leaves_no_trace(name: str) -> None:
    steered, untouched = Steered(MOVABLE[name], BASE), Steered(MOVABLE[name], BASE)
    for _ in range(3):
        steered.step()
        untouched.step()
    steered.parameters.add(Stubborn())
    with pytest.raises(RuntimeError, match="I will not"):
        steered.parameters.apply({"optimizer.lr": NEW, "stubborn": 2.0})
    for _ in range(6):
        assert steered.step() == untouched.step()
