"""The schedule's name and options, swapped in the program's own variable."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from steered_schedules import BASE, MADE, Make, Steered, close, cyclic, decay, one_cycle
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from midcourse.catalogue.registry import Registry
from midcourse.catalogue.schedulers import SCHEDULERS, Schedules, advance, advance_by_loss
from midcourse.contract.errors import InvalidInput
from midcourse.errors import CheckpointUnusable
from midcourse.live.scheduler import SchedulerPart
from midcourse.live.table import LiveTable

RATES = [BASE, BASE * 3]

CHOICES: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "constant": ({}, lambda o: None),
    "step_lr": ({"step_size": 2, "gamma": 0.5}, lambda o: lr_scheduler.StepLR(o, 2, 0.5)),
    "multi_step_lr": (
        {"milestones": [1, 3], "gamma": 0.1},
        lambda o: lr_scheduler.MultiStepLR(o, [1, 3]),
    ),
    "constant_lr": ({"factor": 0.5}, lambda o: lr_scheduler.ConstantLR(o, 0.5)),
    "linear_lr": ({"total_iters": 3}, lambda o: lr_scheduler.LinearLR(o, total_iters=3)),
    "exponential_lr": ({"gamma": 0.9}, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    "polynomial_lr": ({"power": 2}, lambda o: lr_scheduler.PolynomialLR(o, power=2)),
    "cosine_annealing_lr": (
        {"T_max": 4, "eta_min": 0.01},
        lambda o: lr_scheduler.CosineAnnealingLR(o, 4, 0.01),
    ),
    "cosine_annealing_warm_restarts": (
        {"T_0": 2, "T_mult": 2},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2),
    ),
    "cyclic_lr": (
        {"max_lr": 2.0, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9},
        lambda o: lr_scheduler.CyclicLR(o, RATES, 2.0, 2, mode="exp_range", gamma=0.9),
    ),
    "one_cycle_lr": (
        {"total_steps": 12, "div_factor": 10, "pct_start": 0.25, "three_phase": True},
        lambda o: lr_scheduler.OneCycleLR(
            o, RATES, 12, div_factor=10, pct_start=0.25, three_phase=True
        ),
    ),
}
"""By name: options, and the same schedule as a program makes it."""

BEGUN: dict[str, Make] = {
    name: MADE[name]
    for name in ("LambdaLR", "MultiStepLR", "OneCycleLR", "CyclicLR", "SequentialLR with floors")
}


def named(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"scheduler.name": name, **{f"scheduler.{key}": it for key, it in options.items()}}


def set_all(steered: Steered, changes: dict[str, Any]) -> Any:
    return steered.parameters.apply(steered.parameters.check(changes))


def test_every_choice_of_a_program_that_tells_its_scheduler_nothing_is_in_these_tests() -> None:
    (name, *_) = SchedulerPart(Steered(MADE["StepLR"]).scheduler).declarations()
    assert name.choices == sorted(CHOICES)


# --- a name begins a schedule ------------------------------------------------------------------


@pytest.mark.parametrize("old", BEGUN)
@pytest.mark.parametrize("new", CHOICES)
def test_a_name_begins_a_schedule_at_this_step_from_the_base(new: str, old: str) -> None:
    options, make = CHOICES[new]
    steered, fresh = Steered(BEGUN[old]), Steered(make)
    for _ in range(4):
        steered.step()
    mine = steered.scheduler
    level = steered.value("optimizer.momentum")
    for group in fresh.optimizer.param_groups:
        group.setdefault("momentum", level)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        applied = set_all(steered, named(new, options))
        assert steered.scheduler is mine
        assert applied.after["scheduler.name"] == steered.value("scheduler.name") == new
        for option, value in options.items():
            assert applied.after[f"scheduler.{option}"] == value
        assert steered.value() == pytest.approx(BASE)
        cycles = new in ("one_cycle_lr", "cyclic_lr")
        for _ in range(11):
            assert steered.rates() == close(fresh.rates())
            assert steered.momenta() == (fresh.momenta() if cycles else [level, level])
            steered.step()
            fresh.step()


@pytest.mark.parametrize("new", CHOICES)
@pytest.mark.parametrize("old", BEGUN)
def test_a_checkpoint_brings_the_swapped_schedule_into_a_program_that_starts_anew(
    old: str, new: str
) -> None:
    steered, later = Steered(BEGUN[old]), Steered(BEGUN[old])
    steered.step()
    set_all(steered, named(new, CHOICES[new][0]))
    for wait in (0, 2):
        for _ in range(wait):
            steered.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            later.load(steered.state())
            assert later.parameters.values() == steered.parameters.values()
            assert later.hash() == steered.hash()
            for _ in range(4):
                assert later.step() == steered.step()
                assert later.momenta() == steered.momenta()
        assert later.hash() == steered.hash()


@pytest.mark.parametrize(
    "change",
    [named("cyclic_lr", {"max_lr": 0.5}), {"optimizer.lr": {"value": 0.3, "mode": "override"}}],
    ids=["swap", "override"],
)
@pytest.mark.parametrize("old", BEGUN)
def test_a_checkpoint_from_before_takes_the_same_program_back(
    old: str, change: dict[str, Any]
) -> None:
    steered, untouched = Steered(BEGUN[old]), Steered(BEGUN[old])
    for _ in range(3):
        steered.step()
        untouched.step()
    before = steered.state()
    set_all(steered, change)
    steered.step()
    steered.load(before)
    assert steered.value("scheduler.name") == untouched.value("scheduler.name")
    steered.optimizer.state.clear()  # the weights' own course is no matter here
    for _ in range(8):
        assert steered.step() == untouched.step()
        assert steered.momenta() == untouched.momenta()


@pytest.mark.parametrize("new", CHOICES)
@pytest.mark.parametrize("old", BEGUN)
def test_a_swap_that_is_undone_leaves_no_trace(old: str, new: str) -> None:
    steered, untouched = Steered(BEGUN[old]), Steered(BEGUN[old])
    for _ in range(3):
        steered.step()
        untouched.step()
    steered.parameters.try_out(steered.parameters.check(named(new, CHOICES[new][0])))
    assert steered.hash() == untouched.hash()
    for _ in range(6):
        assert steered.step() == untouched.step()
    assert steered.hash() == untouched.hash()


def test_from_constant_a_schedule_can_begin_again() -> None:
    steered = Steered(MADE["OneCycleLR"])
    steered.step()
    steered.set({"value": 0.4, "mode": "override"})
    steered.step()
    set_all(steered, named("exponential_lr", {"gamma": 0.5}))
    assert steered.rates() == close([0.4, 1.2])
    assert steered.step() == close([0.2, 0.6])
    assert steered.value() == 0.4
    later = Steered(MADE["OneCycleLR"])
    later.load(steered.state())
    steered.set({"value": 0.3, "mode": "override"})
    assert steered.step() == close([0.3, 0.9])
    assert later.step() == close([0.1, 0.3])
    later.load(steered.state())
    assert later.value("scheduler.name") == "constant"
    assert later.step() == close([0.3, 0.9])


def test_a_new_rate_and_a_new_schedule_come_together() -> None:
    steered = Steered(MADE["OneCycleLR"])
    steered.step()
    set_all(steered, {"optimizer.lr": 0.4, **named("step_lr", {"step_size": 1, "gamma": 0.5})})
    assert steered.rates() == close([0.4, 1.2])
    assert steered.step() == close([0.2, 0.6])


def test_the_present_name_begins_again_with_the_options_that_it_has() -> None:
    steered = Steered(lambda o: lr_scheduler.StepLR(o, 2, 0.5))
    for _ in range(3):
        steered.step()
    applied = set_all(steered, named("step_lr", {"gamma": 0.25}))
    assert applied.after["scheduler.gamma"] == 0.25
    assert steered.value("scheduler.step_size") == 2
    assert steered.rates() == close(RATES)
    assert [steered.step()[0] for _ in range(2)] == close([BASE, BASE / 4])


# --- options alone keep the clock --------------------------------------------------------------

KEPT: dict[str, tuple[Make, dict[str, Any], Make]] = {
    "step_lr": (
        lambda o: lr_scheduler.StepLR(o, 2, 0.5),
        {"gamma": 0.25},
        lambda o: lr_scheduler.StepLR(o, 2, 0.25),
    ),
    "multi_step_lr": (
        lambda o: lr_scheduler.MultiStepLR(o, [2, 9], 0.5),
        {"milestones": [3, 5, 5]},
        lambda o: lr_scheduler.MultiStepLR(o, [3, 5, 5], 0.5),
    ),
    "cosine_annealing_lr": (
        lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
        {"T_max": 12, "eta_min": 0.01},
        lambda o: lr_scheduler.CosineAnnealingLR(o, 12, 0.01),
    ),
    "cosine_annealing_warm_restarts": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2),
        {"T_0": 3},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    ),
    "linear_lr": (
        lambda o: lr_scheduler.LinearLR(o, 0.5, total_iters=3),
        {"total_iters": 8, "start_factor": 0.25},
        lambda o: lr_scheduler.LinearLR(o, 0.25, total_iters=8),
    ),
    "one_cycle_lr": (
        lambda o: one_cycle(o, pct_start=0.4),
        {"total_steps": 30, "final_div_factor": 100.0},
        lambda o: lr_scheduler.OneCycleLR(o, RATES, 30, pct_start=0.4, final_div_factor=100),
    ),
    "one_cycle_lr's peak": (
        lambda o: one_cycle(o, cycle_momentum=False),
        {"max_lr": 1.0},
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, 20, cycle_momentum=False),
    ),
    "cyclic_lr": (
        cyclic,
        {"step_size_up": 5, "max_momentum": 0.85},
        lambda o: lr_scheduler.CyclicLR(
            o, RATES, [rate * 4 for rate in RATES], 5, 2, max_momentum=0.85
        ),
    ),
}


@pytest.mark.parametrize("moment", [0, 1, 3, 5, 11])
@pytest.mark.parametrize("name", KEPT)
def test_options_alone_go_on_as_if_the_schedule_had_begun_with_them(name: str, moment: int) -> None:
    make, options, expected = KEPT[name]
    steered, fresh = Steered(make), Steered(expected)
    for _ in range(moment):
        steered.step()
        fresh.step()
    applied = set_all(steered, {f"scheduler.{key}": value for key, value in options.items()})
    for option, value in options.items():
        assert applied.after[f"scheduler.{option}"] == value
    assert "scheduler.name" not in applied.after
    assert steered.parameters.values() == {
        key: pytest.approx(value, rel=1e-9) if type(value) is float else value
        for key, value in fresh.parameters.values().items()
    }
    for _ in range(8):
        assert steered.rates() == close(fresh.rates())
        assert steered.momenta() == close(fresh.momenta())
        steered.step()
        fresh.step()


def test_a_clock_that_is_far_on_costs_nothing() -> None:
    """Half a million steps, taken one by one, would hold the training for seconds."""
    steered = Steered(lambda o: lr_scheduler.OneCycleLR(o, BASE, total_steps=1_000_000))
    steered.scheduler.last_epoch = 500_000
    calls = 0

    class Counted(lr_scheduler.OneCycleLR):
        def get_lr(self) -> Any:
            nonlocal calls
            calls += 1
            return super().get_lr()

    registry: Registry[LRScheduler] = Registry("scheduler", given=1)
    registry.register("one_cycle_lr", of=lr_scheduler.OneCycleLR, hidden=("last_epoch",))(Counted)
    Counted.__module__ = lr_scheduler.OneCycleLR.__module__
    part = SchedulerPart(steered.scheduler, Schedules(registry))
    (row,) = [row for row in part.declarations() if row.name == "scheduler.pct_start"]
    part.apply({row.name: row.parse(0.5)})
    assert steered.scheduler.last_epoch == 500_000
    assert steered.rates() == close([BASE, BASE])
    assert calls == 2


def test_a_plateau_scheduler_remembers_what_it_has_seen() -> None:
    steered = Steered(lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1))
    for loss in (1.0, 1.0):
        steered.step(loss)
    set_all(steered, {"scheduler.factor": 0.25, "scheduler.min_lr": [0.0, 0.2]})
    assert steered.value("scheduler.min_lr") == [0.0, 0.2]
    assert steered.step(1.0) == close([BASE / 4, 0.2])
    set_all(steered, {"scheduler.mode": "max"})
    for _ in range(3):
        rates = steered.step(2.0)
    assert rates == close([BASE / 16, 0.2])


# --- who calls step(), and with what -----------------------------------------------------------


def test_a_loop_that_tells_a_metric_may_have_a_plateau_or_nothing() -> None:
    steered = Steered(lambda o: lr_scheduler.ReduceLROnPlateau(o))
    (name, *options) = steered.parts["scheduler"].declarations()
    assert name.choices == ["constant", "reduce_lr_on_plateau"]
    assert "scheduler.patience" in {row.name for row in options}
    assert "scheduler.step_size" not in {row.name for row in options}
    with pytest.raises(InvalidInput, match="must be one of constant, reduce_lr_on_plateau"):
        set_all(steered, named("step_lr", {}))
    set_all(steered, {"scheduler.name": "constant"})
    assert steered.step(3.0) == close(RATES)


def coping(length: int | None = None) -> tuple[Steered, Schedules]:
    steered = Steered(lambda o: None)
    steered.scheduler = SCHEDULERS.make("constant", steered.optimizer)
    choices = Schedules(SCHEDULERS, None if length is None else lambda _: length)
    steered.parts["scheduler"] = SchedulerPart(steered.scheduler, choices)
    steered.parameters.add("scheduler", steered.parts["scheduler"], check=False)
    return steered, choices


def test_a_loop_that_copes_may_have_any() -> None:
    steered, _ = coping()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, options in [
            ("reduce_lr_on_plateau", {"patience": 0, "factor": 0.5}),
            ("exponential_lr", {"gamma": 0.5}),
        ]:
            set_all(steered, named(name, options))
            steered.optimizer.step()
            for _ in range(2):
                advance(steered.scheduler)
                advance_by_loss(steered.scheduler, 1.0)
    assert steered.rates() == close([BASE / 2 / 4, BASE * 3 / 2 / 4])


@pytest.mark.parametrize(
    ("name", "option"), [("cosine_annealing_lr", "T_max"), ("one_cycle_lr", "total_steps")]
)
def test_a_schedule_is_as_long_as_the_training_where_that_is_known(name: str, option: str) -> None:
    steered, _ = coping(7)
    set_all(steered, {"scheduler.name": name})
    assert steered.value(f"scheduler.{option}") == 7
    for _ in range(2):
        steered.step()
    applied = set_all(steered, {f"scheduler.{option}": None})
    assert steered.value(f"scheduler.{option}") == 9
    assert applied.after[f"scheduler.{option}"] == 9
    unknown = Steered(MADE["StepLR"])
    with pytest.raises(InvalidInput, match=f"scheduler.{option}: is missing: how often"):
        set_all(unknown, {"scheduler.name": name})


def test_a_swapped_one_cycle_holds_when_it_is_through() -> None:
    steered = Steered(MADE["StepLR"])
    set_all(steered, named("one_cycle_lr", {"total_steps": 3}))
    rates = [steered.step() for _ in range(6)]
    assert rates[2:] == [rates[1]] * 4


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler.name": "step"}, "must be one of constant, .*step_lr, not"),
        ({"scheduler.name": "reduce_lr_on_plateau"}, "must be one of"),
        ({"scheduler.name": "step_lr", "scheduler.T_max": 5}, "is not an option of the scheduler"),
        ({"scheduler.T_max": 5}, "scheduler.T_max: is not an option of the scheduler step_lr; it"),
        ({"scheduler.name": "exponential_lr"}, "scheduler.gamma: is missing"),
        ({"scheduler.name": "cyclic_lr"}, "scheduler.max_lr: is missing"),
        (named("cosine_annealing_lr", {"T_max": 0}), "cannot be begun with these options: .*zero"),
        (named("step_lr", {"step_size": 0}), "zero"),
        ({"scheduler.step_size": 0}, "scheduler.step_size: step_lr cannot be begun"),
        (named("linear_lr", {"start_factor": 2.0}), "expected to be greater than 0"),
        (named("polynomial_lr", {"power": -1.0, "total_iters": 50}), "polynomial_lr cannot be"),
        (named("exponential_lr", {"gamma": -1.0}), "the rate would become -0.2"),
        (named("multi_step_lr", {"milestones": "often"}), "scheduler.milestones: "),
        (named("one_cycle_lr", {"total_steps": 9, "anneal_strategy": "x"}), "anneal_strategy"),
        (named("one_cycle_lr", {"total_steps": 9, "max_lr": [1.0]}), "must have the same length"),
        (named("cyclic_lr", {"max_lr": 1, "mode": "min"}), "mode"),
        ({"scheduler.gamma": True}, "must be a number"),
        ({"scheduler.gama": 0.5}, "Did you mean scheduler.gamma"),
    ],
)
def test_what_is_refused_changes_nothing(changes: dict[str, Any], message: str) -> None:
    steered, untouched = Steered(MADE["StepLR"]), Steered(MADE["StepLR"])
    for _ in range(2):
        steered.step()
        untouched.step()
    with pytest.raises(InvalidInput, match=message):
        set_all(steered, changes)
    assert steered.hash() == untouched.hash()
    assert steered.step() == untouched.step()


def test_a_cycle_of_the_momentum_needs_one() -> None:
    steered = Steered(MADE["StepLR"], kind=torch.optim.Adagrad)
    with pytest.raises(InvalidInput, match="must support momentum or beta1"):
        set_all(steered, named("one_cycle_lr", {"total_steps": 9}))
    set_all(steered, named("one_cycle_lr", {"total_steps": 9, "cycle_momentum": False}))
    assert steered.value("scheduler.max_momentum") is None


def test_a_total_that_is_over_already_is_refused() -> None:
    steered = Steered(MADE["OneCycleLR"])
    for _ in range(8):
        steered.step()
    set_all(steered, {"scheduler.total_steps": 8})  # held at its end from now on
    assert steered.step() == steered.step()


def test_options_of_what_the_program_made_of_functions_are_its_own() -> None:
    steered = Steered(MADE["SequentialLR"])
    assert steered.value("scheduler.name") == "SequentialLR"
    assert steered.value("scheduler.gamma") is None
    with pytest.raises(InvalidInput, match="is not an option of the scheduler SequentialLR; it ha"):
        set_all(steered, {"scheduler.gamma": 0.5})


# --- schedulers of one's own -------------------------------------------------------------------


def own_registry() -> Registry[LRScheduler]:
    registry: Registry[LRScheduler] = Registry("scheduler", given=1)

    @registry.register("inverse")
    def inverse(optimizer: Optimizer, slope: float = 1.0) -> LRScheduler:
        """1 / (1 + slope x step)."""
        return lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + slope * step))

    @registry.register("decay")
    def decaying(optimizer: Optimizer) -> LRScheduler:
        """As the other tests have it."""
        return lr_scheduler.LambdaLR(optimizer, decay)

    return registry


def own(make: Make) -> Steered:
    steered = Steered(make)
    part = SchedulerPart(steered.scheduler, Schedules(own_registry()))
    steered.parts["scheduler"] = part
    steered.parameters = LiveTable()
    for name, it in steered.parts.items():
        steered.parameters.add(name, it, check=False)
    return steered


def test_a_programs_own_schedule_of_functions_can_be_chosen_and_kept() -> None:
    steered = own(MADE["StepLR"])
    assert steered.value("scheduler.name") == "StepLR"
    steered.step()
    applied = set_all(steered, {"scheduler.name": "inverse", "scheduler.slope": 3})
    assert applied.after["scheduler.slope"] == 3.0
    assert steered.step() == close([BASE / 4, BASE * 3 / 4])
    later = own(MADE["StepLR"])
    later.load(steered.state())
    assert later.parameters.values() == steered.parameters.values()
    assert later.step() == steered.step() == close([BASE / 7, BASE * 3 / 7])
    set_all(later, {"scheduler.slope": 1.0})
    assert later.rates() == close([BASE / 3, BASE])
    with pytest.raises(CheckpointUnusable, match="the checkpoint's scheduler is inverse"):
        Steered(MADE["StepLR"]).load(steered.state())


# --- declarations ------------------------------------------------------------------------------


def test_options_have_the_type_that_all_who_take_them_agree_on() -> None:
    steered, _ = coping()
    rows = {row.name: row for row in steered.parts["scheduler"].declarations()}
    types = {name.removeprefix("scheduler."): row.type for name, row in rows.items()}
    assert types["gamma"] == "number"
    assert types["T_0"] == types["T_max"] == types["patience"] == "integer"
    assert types["cycle_momentum"] == types["three_phase"] == "boolean"
    assert types["mode"] == types["anneal_strategy"] == "string"
    assert types["milestones"] == types["max_lr"] == types["max_momentum"] == "any"
    assert rows["scheduler.anneal_strategy"].choices == ["cos", "linear"]
    assert rows["scheduler.mode"].choices is None
    assert rows["scheduler.T_max"].nullable
    assert not rows["scheduler.gamma"].nullable
    assert "step_lr" in rows["scheduler.gamma"].description
