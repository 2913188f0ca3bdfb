"""`optimizer.lr` means the same under every scheduler: the base that the schedule shapes."""

import math
import warnings
from typing import Any

import pytest
import torch
from steered_schedules import BASE, MADE, NEW, Make, Steered, close, cyclic, one_cycle
from torch.optim import Optimizer, lr_scheduler

from midcourse.contract.errors import InvalidInput
from midcourse.live.optimizer import OptimizerPart
from midcourse.live.table import LiveTable

TORCH_SHIPS = {
    name
    for name in lr_scheduler.__all__
    if name not in ("LRScheduler", "ReduceLROnPlateau")  # the latter has a test of its own
}


def test_every_scheduler_of_torch_is_in_these_tests() -> None:
    assert {type(make(Steered(MADE["none"]).optimizer)).__name__ for make in MADE.values()} == {
        *TORCH_SHIPS,
        "NoneType",
    }


@pytest.mark.parametrize("moment", range(11))
@pytest.mark.parametrize("mode", ["rebase", "scale"])
@pytest.mark.parametrize("name", MADE)
def test_a_new_base_gives_the_schedule_that_began_with_it(
    name: str, mode: str, moment: int
) -> None:
    steered, fresh = Steered(MADE[name], BASE), Steered(MADE[name], NEW)
    for _ in range(moment):
        steered.step()
        fresh.step()
    value = NEW if mode == "rebase" else NEW / BASE
    applied = steered.set({"value": value, "mode": mode})
    assert applied.before["optimizer.lr"] == pytest.approx(BASE)
    assert applied.after["optimizer.lr"] == pytest.approx(NEW, rel=1e-15)
    assert applied.after["optimizer.lr"] == steered.value()
    assert steered.rates() == close(fresh.rates())
    assert steered.momenta() == fresh.momenta()
    for _ in range(8):
        assert steered.step() == close(fresh.step())
        assert steered.momenta() == fresh.momenta()


@pytest.mark.parametrize("moment", [0, 3, 6])
@pytest.mark.parametrize("name", MADE)
def test_an_override_ends_the_schedule(name: str, moment: int) -> None:
    steered = Steered(MADE[name], BASE)
    for _ in range(moment):
        steered.step()
    momenta = steered.momenta()
    applied = steered.set({"value": NEW, "mode": "override"})
    assert applied.after["optimizer.lr"] == NEW
    if steered.scheduler is not None:
        assert steered.value("scheduler.name") == "constant"
        assert applied.after["scheduler.name"] == "constant"
    for _ in range(25):
        assert steered.rates() == close([NEW, NEW * 3])
        assert steered.momenta() == momenta
        steered.step()
    steered.set({"value": 2, "mode": "scale"})
    assert steered.step() == close([NEW * 2, NEW * 6])


@pytest.mark.parametrize("name", MADE)
def test_to_and_fro_leaves_the_schedule_where_it_was(name: str) -> None:
    steered, untouched = Steered(MADE[name]), Steered(MADE[name])
    for _ in range(4):
        steered.step()
        untouched.step()
    steered.set(NEW)
    steered.set(BASE)
    for _ in range(6):
        assert steered.step() == close(untouched.step())


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer.lr": NEW},
        {"optimizer.lr": {"value": NEW, "mode": "override"}},
        {"optimizer.lr": {"value": 3.0, "mode": "scale"}, "optimizer.momentum": 0.5},
    ],
    ids=["rebase", "override", "scale"],
)
@pytest.mark.parametrize("name", MADE)
def test_a_checkpoint_holds_all_of_an_edit(name: str, change: dict[str, Any]) -> None:
    """A program that starts anew, as it always does, goes on from there to the same bits."""
    steered, later = Steered(MADE[name]), Steered(MADE[name])
    for _ in range(3):
        steered.step()
    steered.parameters.apply(steered.parameters.check(change))
    steered.step()
    later.load(steered.state())
    assert later.parameters.values() == steered.parameters.values()
    for _ in range(8):
        assert later.step() == steered.step()
        assert later.momenta() == steered.momenta()
    assert later.hash() == steered.hash()


@pytest.mark.parametrize("mode", ["rebase", "override", "scale"])
@pytest.mark.parametrize("name", MADE)
def test_an_edit_that_is_undone_leaves_no_trace(name: str, mode: str) -> None:
    steered, untouched = Steered(MADE[name]), Steered(MADE[name])
    for _ in range(3):
        steered.step()
        untouched.step()
    changes = steered.parameters.check({"optimizer.lr": {"value": 0.5, "mode": mode}})
    steered.parameters.try_out(changes)
    assert steered.hash() == untouched.hash()
    for _ in range(6):
        assert steered.step() == untouched.step()
        assert steered.momenta() == untouched.momenta()


@pytest.mark.parametrize("mode", ["rebase", "scale"])
def test_a_plateau_scheduler_goes_on_from_the_new_rate(mode: str) -> None:
    steered = Steered(
        lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0, min_lr=[0.02, 0.04])
    )
    for _ in range(2):
        steered.step(1.0)
    assert steered.rates() == pytest.approx([BASE / 2, BASE * 3 / 2])
    value = NEW if mode == "rebase" else 0.5
    applied = steered.set({"value": value, "mode": mode})
    assert applied.before["optimizer.lr"] == BASE / 2
    assert applied.after["optimizer.lr"] == NEW
    for expected in ([NEW / 2, NEW * 3 / 2], [0.02, 0.04], [0.02, 0.04]):
        assert steered.step(1.0) == close(expected)


def test_an_override_of_a_plateau_scheduler_lets_it_be_told_metrics_for_nothing() -> None:
    steered = Steered(lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0))
    steered.step(1.0)
    steered.set({"value": NEW, "mode": "override"})
    for _ in range(6):
        assert steered.step(1.0) == close([NEW, NEW * 3])


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR", "CyclicLR triangular2"])
@pytest.mark.parametrize("moment", range(8))
def test_a_momentum_edit_moves_the_cycle_of_the_momentum(name: str, moment: int, kind: Any) -> None:
    def with_levels(upper: float, lower: float) -> Make:
        options = {"max_momentum": upper, "base_momentum": lower}
        if name == "OneCycleLR":
            return lambda o: one_cycle(o, **options)
        mode = "triangular2" if name.endswith("2") else "triangular"
        return lambda o: cyclic(o, mode=mode, **options)

    steered = Steered(with_levels(0.9, 0.8), kind=kind)
    fresh = Steered(with_levels(0.45, 0.4), kind=kind)
    for _ in range(moment):
        steered.step()
        fresh.step()
    applied = steered.set(0.45, "optimizer.momentum")
    assert applied.before["optimizer.momentum"] == 0.9
    assert applied.after["optimizer.momentum"] == 0.45
    for _ in range(8):
        assert steered.momenta() == close(fresh.momenta())
        assert steered.step() == fresh.step()


@pytest.mark.parametrize(
    ("levels", "value", "message"),
    [
        ((0.9, 0.8), 0.0, "must be above 0"),
        ((0.5, 0.9), 0.6, r"too high for OneCycleLR: the other level of its momentum cycle, 0\.9"),
    ],
)
def test_a_momentum_that_the_cycle_cannot_take_is_refused(
    levels: tuple[float, float], value: float, message: str
) -> None:
    upper, lower = levels
    steered = Steered(lambda o: one_cycle(o, max_momentum=upper, base_momentum=lower))
    with pytest.raises(InvalidInput, match=message):
        steered.set(value, "optimizer.momentum")


def test_betas_under_a_cycle_are_its_level_and_the_second() -> None:
    steered = Steered(one_cycle, kind=torch.optim.Adam)
    for _ in range(3):
        steered.step()
    assert steered.value("optimizer.betas") == [0.95, 0.999]
    steered.set([0.76, 0.9], "optimizer.betas")
    fresh = Steered(
        lambda o: one_cycle(o, max_momentum=0.76, base_momentum=0.68), kind=torch.optim.Adam
    )
    for _ in range(3):
        fresh.step()
    for _ in range(6):
        assert steered.momenta() == close(fresh.momenta())
        assert {group["betas"][1] for group in steered.optimizer.param_groups} == {0.9}
        steered.step()
        fresh.step()


class OwnSchedule(lr_scheduler.LRScheduler):
    """A program's own: nobody knows what it makes of its base."""

    def get_lr(self) -> list[float]:  # type: ignore[override]
        return [float(base) / (1 + self.last_epoch) for base in self.base_lrs]


def test_a_schedule_of_ones_own_can_be_ended_and_not_moved() -> None:
    steered = Steered(OwnSchedule)
    steered.step()
    before = steered.hash()
    with pytest.raises(
        InvalidInput, match="cannot be changed under the scheduler OwnSch"
    ) as caught:
        steered.set(NEW)
    assert "StepLR" in str(caught.value)
    assert "override" in str(caught.value)
    assert steered.hash() == before
    steered.set({"value": NEW, "mode": "override"})
    assert steered.step() == close([NEW, NEW * 3])


def test_what_is_no_scheduler_of_torch_is_left_alone() -> None:
    steered = Steered(lambda o: None)
    steered.scheduler = object()
    for mode in ("rebase", "override"):
        with pytest.raises(InvalidInput, match="the scheduler object"):
            steered.set({"value": NEW, "mode": mode})


@pytest.mark.parametrize("name", ["none", "StepLR", "OneCycleLR"])
def test_groups_at_rate_zero_stay_there(name: str) -> None:
    steered = Steered(MADE[name], ratio=0.0)
    steered.set(NEW)
    fresh = Steered(MADE[name], NEW, ratio=0.0)
    for _ in range(5):
        assert steered.step() == close(fresh.step())
    swapped = Steered(MADE["none"])
    swapped.optimizer.param_groups[0]["lr"] = 0.0
    assert swapped.value() == BASE * 3
    swapped.set(NEW)
    assert swapped.rates() == [0.0, NEW]


def test_where_all_rates_are_zero_there_is_no_ratio_and_no_schedule() -> None:
    plain = Steered(MADE["none"], 0.0)
    plain.set(NEW)
    assert plain.rates() == [NEW, NEW]
    scheduled = Steered(MADE["StepLR"], 0.0)
    with pytest.raises(InvalidInput, match="the base is 0"):
        scheduled.set(NEW)
    with pytest.raises(InvalidInput, match=r"cannot scale the base 0 by 0\.05"):
        scheduled.set({"value": NEW, "mode": "scale"})
    scheduled.set({"value": NEW, "mode": "override"})
    assert scheduled.step() == [NEW, NEW]


def test_a_scale_that_overflows_is_refused() -> None:
    steered = Steered(MADE["none"], 1e300)
    with pytest.raises(InvalidInput, match="that is no rate"):
        steered.set({"value": 1e300, "mode": "scale"})


@pytest.mark.parametrize("name", ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"])
def test_a_base_on_the_floor_can_be_lifted(name: str) -> None:
    def make(optimizer: Optimizer) -> Any:
        return getattr(lr_scheduler, name)(optimizer, 5, eta_min=BASE)

    steered, fresh = Steered(make), Steered(make, 0.5)
    for _ in range(3):
        steered.step()
        fresh.step()
    steered.set(0.5)
    for _ in range(6):
        assert steered.step() == close(fresh.step())


@pytest.mark.parametrize("mode", ["rebase", "override"])
@pytest.mark.parametrize("name", [name for name in MADE if "from next" not in name])
def test_a_rate_that_is_a_tensor_is_filled(name: str, mode: str) -> None:
    def made(base: float) -> Any:
        rate = torch.tensor(base, dtype=torch.float64)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=rate, momentum=0.9)
        return optimizer, MADE[name](optimizer)

    (optimizer, scheduler), (other, untouched) = made(BASE), made(NEW)
    table = LiveTable()
    table.add("optimizer", OptimizerPart(optimizer, lambda: scheduler), check=False)
    for _ in range(2):
        optimizer.step()
        other.step()
        for it in (scheduler, untouched):
            if it is not None:
                it.step()
    held = optimizer.param_groups[0]["lr"]
    changes = table.check({"optimizer.lr": {"value": NEW, "mode": mode}})
    before = float(held)
    table.try_out(changes)
    assert float(held) == before
    assert optimizer.param_groups[0]["lr"] is held
    table.apply(changes)
    for _ in range(5):
        expected = NEW if mode == "override" else float(other.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["lr"] is held
        assert math.isclose(float(held), expected, rel_tol=1e-9, abs_tol=1e-12)
        optimizer.step()
        other.step()
        for it in (scheduler, untouched):
            if it is not None:
                it.step()


def test_no_warning_appears_whatever_is_done_when() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in MADE.values():
            if make is MADE["SequentialLR"]:
                continue
            steered = Steered(make)
            steered.set(NEW)
            steered.step()
            steered.set({"value": NEW, "mode": "override"})
            steered.step()
