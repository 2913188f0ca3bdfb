"""Changes of optimizer and schedule one after the other, at random, many at once, some wrong."""

import warnings
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from steered_schedules import MADE, Steered, close

from midcourse.contract.errors import InvalidInput

RATES = st.sampled_from([1e-3, 0.02, 0.5])
FRACTIONS = st.sampled_from([0.0, 0.3, 0.9])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "optimizer.name": st.fixed_dictionaries(
        {
            "value": st.sampled_from(["sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad"]),
            "state": st.sampled_from(["reset", "carry"]),
        }
    ),
    "optimizer.lr": st.fixed_dictionaries(
        {"value": RATES, "mode": st.sampled_from(["rebase", "override", "scale"])}
    ),
    "optimizer.momentum": FRACTIONS,
    "optimizer.betas": st.lists(FRACTIONS, min_size=1, max_size=2),
    "optimizer.weight_decay": st.sampled_from([0.0, 0.1, -1.0]),
    "scheduler.name": st.sampled_from(
        ["constant", "step_lr", "one_cycle_lr", "cyclic_lr", "cosine_annealing_lr", "linear_lr"]
    ),
    "scheduler.gamma": st.sampled_from([0.5, 0.9, float("nan")]),
    "scheduler.step_size": st.integers(0, 4),
    "scheduler.total_steps": st.sampled_from([1, 6, 30]),
    "scheduler.T_max": st.sampled_from([0, 5]),
    "scheduler.max_lr": st.sampled_from([0.7, [0.3, 0.6], [0.1]]),
    "scheduler.cycle_momentum": st.booleans(),
    "scheduler.eta_min": st.sampled_from([0.0, 0.02]),
}
CHANGES = st.sets(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4).flatmap(
    lambda names: st.fixed_dictionaries({name: VALUES[name] for name in sorted(names)})
)
PLANS = st.lists(st.one_of(CHANGES, st.integers(1, 4)), min_size=1, max_size=12)
BEGINNINGS = st.sampled_from(
    ["StepLR", "LambdaLR from 0", "OneCycleLR", "CyclicLR", "SequentialLR with floors"]
)


@settings(max_examples=60, deadline=None)
@given(BEGINNINGS, st.sampled_from([torch.optim.SGD, torch.optim.Adam]), PLANS)
def test_whatever_is_asked_for_acts_as_told_or_not_at_all(
    beginning: str, kind: Any, plan: list[Any]
) -> None:
    steered, later = Steered(MADE[beginning], kind=kind), Steered(MADE[beginning], kind=kind)
    steps = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for entry in plan:
            before = steered.hash()
            if isinstance(entry, int):
                if steps + entry <= 15:  # the program's own OneCycleLR ends at 20
                    steps += entry
                    for _ in range(entry):
                        steered.step()
                continue
            try:
                changes = steered.parameters.check(entry)
                steered.parameters.try_out(changes)
                assert steered.hash() == before
                applied = steered.parameters.apply(changes)
            except InvalidInput:
                assert steered.hash() == before
                continue
            values = steered.parameters.values()
            assert applied.after == {name: values[name] for name in applied.after}
            assert applied.after.keys() >= entry.keys()
        rates = steered.rates()
        later.load(steered.state())
        for mine, other in zip(steered.weights, later.weights, strict=True):
            other.data.copy_(mine.data)
        assert later.parameters.values() == steered.parameters.values()
        assert later.hash() == steered.hash()
        assert later.rates() == close(rates)
        for _ in range(4):
            assert later.step() == steered.step()
            if steered.value("optimizer.momentum") is not None:
                assert later.momenta() == steered.momenta()
        assert later.hash() == steered.hash()
