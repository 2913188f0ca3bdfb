"""What each policy makes of a sequence of values, and how a guard puts several together."""

import math
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import midcourse
from midcourse.contract.commands import Alert, Pause, SetParameters, Stop
from midcourse.contract.errors import InvalidInput
from midcourse.contract.interval import Interval
from midcourse.policies import Policy
from midcourse.policies.guard import Guard
from midcourse.policies.kinds import KINDS, make_guard, policy_faults
from midcourse.policies.spike import height, median

NAN, INF = math.nan, math.inf


class Run:
    """As much of a session as policies look at."""

    id = "r1"

    def __init__(self, rate: float | None = 0.1) -> None:
        self.current_step = 0
        self.rate = rate
        self.parameters = SimpleNamespace(values=lambda: {"optimizer.lr": self.rate})

    def due(self, interval: Interval) -> bool:
        return interval.due(step=self.current_step, epoch=0, is_epoch_end=False)


def guard_of(*policies: Any, run: Run | None = None) -> tuple[Guard, Run]:
    run = Run() if run is None else run
    return make_guard(policies).bind(run), run  # type: ignore[arg-type]


def proposals(guard: Guard, step: int) -> list[Any]:
    found = []
    while (proposal := guard.take(step)) is not None:
        found.append(proposal)
    return found


def feed(guard: Guard, run: Run, values: Iterable[Any], metric: str = "m") -> dict[int, list[Any]]:
    """Log a value a step; the proposals by step."""
    found = {}
    for value in values:
        step = run.current_step
        fired = guard.watch(step, {metric: value})
        assert guard.next_step() == (step if fired else None)
        made = proposals(guard, step)
        if made:
            found[step] = made
        run.current_step += 1
    return found


def steps(*policies: Any, values: Iterable[Any], **options: Any) -> list[int]:
    return list(feed(*guard_of(*policies, **options), values))


def policy(kind: str, **settings: Any) -> dict[str, Any]:
    return {"kind": kind, "metric": "m", **settings}


# -- non_finite ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "bad"),
    [
        (NAN, True),
        (INF, True),
        (-INF, True),
        (0.0, False),
        (1e308, False),
        (True, False),
        (7, False),
    ],
)
@pytest.mark.parametrize(
    "made", [lambda v: v, torch.tensor, np.float64], ids=["python", "torch", "numpy"]
)
def test_what_is_not_finite(value: float, bad: bool, made: Any) -> None:
    if made is torch.tensor and value == 1e308:
        value = 1e38
    guard, _run = guard_of(policy("non_finite"))
    assert guard.watch(0, {"m": made(value)}) is bad
    assert guard.next_step() == (0 if bad else None)


def test_a_tensor_that_is_part_of_a_graph_is_read() -> None:
    guard, _run = guard_of(policy("target", mode="max", value=2.0))
    assert guard.watch(0, {"m": torch.tensor([2.0], requires_grad=True) * 1})


# -- spike --------------------------------------------------------------------------------------

FLAT = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1]
SPIKE = {"window": 8, "threshold": 6.0, "cooldown": 3}


@pytest.mark.parametrize(
    ("values", "alarms"),
    [
        ([*FLAT, 1.2, 50.0, 1.0], [9]),
        ([*FLAT, -50.0, 1.0], []),
        ([*FLAT[:7], 50.0, 1.0], []),  # the window is not full
        ([*FLAT, NAN, INF, -INF, 50.0], [11]),
        ([*FLAT, 50.0, 60.0, 60.0, 1.0, 60.0], [8, 12]),  # a cooldown of three steps
        ([*FLAT, *[50.0] * 12], [8]),  # a new level becomes the usual one
        ([0.0] * 8 + [0.1], []),  # equal values are no measure
        ([1.0] * 7 + [1.1] + [1.05, 9.0], [9]),  # a MAD of 0: the mean deviation measures
        ([1e308, -1e308] * 4 + [1.7e308], []),
    ],
)
def test_a_spike_is_far_above_a_full_window(values: list[float], alarms: list[int]) -> None:
    assert steps(policy("spike", **SPIKE), values=values) == alarms


def test_height_is_in_robust_standard_deviations() -> None:
    assert height(10.0, [1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(7.0 / 1.4826)
    assert height(9.0, [1.0, 1.0, 1.0, 1.0, 2.0]) == pytest.approx(8.0 / (1.253314 * 0.2))
    assert height(0.0, [1.0, 2.0, 3.0]) == 0.0


@pytest.mark.parametrize("count", range(1, 9))
def test_the_median_is_the_usual_one(count: int) -> None:
    values = [math.sin(5 * index) for index in range(count)]
    assert median(values) == pytest.approx(np.median(values))


@pytest.mark.parametrize(("then", "action"), [("pause", Pause), ("alert", Alert), (None, Alert)])
def test_a_spike_pauses_or_alerts(then: str | None, action: type) -> None:
    more = {} if then is None else {"then": then}
    found = feed(*guard_of(policy("spike", **SPIKE, **more)), [*FLAT, 50.0])
    [proposal] = found[8]
    assert isinstance(proposal.action, action)
    assert proposal.actor == "policy:spike"
    assert proposal.reason.startswith("m is 50 at step 8: ")
    assert proposal.reason.endswith("above 1, the median of the 8 values before")


# -- plateau, early_stop, target ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plateau", "early_stop"])
@pytest.mark.parametrize(
    ("settings", "values", "fired"),
    [
        ({"patience": 2}, [3.0, 2.0, 2.0, 2.0, 1.0], [3]),
        ({"patience": 2}, [3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0], [5, 7]),
        ({"patience": 1}, [3.0, 2.0, 1.0], []),
        ({"patience": 2}, [3.0, NAN, INF, 2.0], [2]),
        ({"patience": 2}, [NAN, NAN, 2.0, 1.0], [1]),
        ({"patience": 2}, [-INF, -INF, 2.0, 1.0], [1]),
        ({"patience": 2, "min_delta": 0.5}, [3.0, 2.5, 2.6, 2.4], [2]),
        ({"patience": 2, "mode": "max"}, [0.5, 0.4, 0.6, 0.6, 0.5], [4]),
        ({"patience": 2, "mode": "max"}, [False, True, True, True], [3]),
    ],
)
def test_patience(kind: str, settings: Any, values: list[float], fired: list[int]) -> None:
    assert steps(policy(kind, **settings), values=values) == fired


def test_a_plateau_scales_the_rate() -> None:
    [proposal] = feed(*guard_of(policy("plateau", patience=1, factor=0.2)), [1.0, 1.0])[1]
    assert proposal.action == SetParameters(
        changes={"optimizer.lr": {"value": 0.2, "mode": "scale"}}
    )
    assert proposal.actor == "policy:plateau"
    assert proposal.reason == "m is 1 at step 1: 1 value in a row no better than 1"


def test_a_plateau_stops_at_the_lowest_rate_and_is_quiet_there() -> None:
    run = Run(rate=0.1)
    guard, _ = guard_of(policy("plateau", patience=1, factor=0.5, min_lr=0.03), run=run)
    told = []
    for found in range(6):
        for proposal in feed(guard, run, [1.0]).get(found, []):
            factor = proposal.action.changes["optimizer.lr"]["value"]
            run.rate = float(np.float32(run.rate * factor))  # as a tensor's rate is read back
            told.append(run.rate)
    assert told == pytest.approx([0.05, 0.03])


def test_a_plateau_of_a_program_without_a_rate_is_told_by_its_receipt() -> None:
    assert steps(policy("plateau", patience=1), values=[1.0, 1.0], run=Run(rate=None)) == [1]


@pytest.mark.parametrize(
    ("mode", "values", "fired"),
    [
        ("max", [0.8, NAN, INF, 0.9, 0.95], [3, 4]),
        ("min", [1.0, NAN, -INF, 0.9, 0.95], [3]),
        ("max", [False, True], [1]),
    ],
)
def test_a_target(mode: str, values: list[float], fired: list[int]) -> None:
    found = feed(*guard_of(policy("target", mode=mode, value=0.9)), values)
    assert list(found) == fired
    assert all(isinstance(each.action, Stop) for made in found.values() for each in made)


# -- several at once ----------------------------------------------------------------------------


def alert(name: str, **more: Any) -> dict[str, Any]:
    return policy("spike", name=name, **SPIKE, **more)


def test_all_act_in_the_order_of_the_configuration() -> None:
    found = feed(
        *guard_of(alert("b"), policy("plateau", patience=9), alert("a")), [*FLAT, 9.0, 9.0]
    )
    assert [each.actor for each in found[8]] == ["policy:b", "policy:a"]
    assert [each.number for each in found[8]] == [1, 2]


def test_what_comes_after_a_pause_is_dropped() -> None:
    guard, run = guard_of(alert("a"), alert("b", then="pause"), alert("c"))
    found = feed(guard, run, [*FLAT, 9.0, 1.0, 1.0, 1.0, 9.0])
    assert [each.actor for each in found[8]] == ["policy:a", "policy:b"]
    assert [each.number for each in found[12]] == [4, 5], "what was dropped keeps its number"


@pytest.mark.parametrize(
    ("every", "fired"), [("1 step", [0, 1, 2, 3]), ("2 steps", [1, 3]), ("9 steps", [])]
)
def test_only_values_at_due_steps_are_read(every: str, fired: list[int]) -> None:
    class Unreadable:
        def __float__(self) -> float:
            raise AssertionError("it was read")

    guard, run = guard_of(policy("target", mode="max", value=1.0, every=every))
    assert list(feed(guard, run, [1.0] * 4)) == fired
    assert not guard.watch(run.current_step, {"other": Unreadable()})


def test_what_is_logged_for_another_step_or_is_no_number_is_passed_over() -> None:
    guard, run = guard_of(policy("target", mode="max", value=1.0))
    run.current_step = 5
    assert not guard.watch(4, {"m": 1.0})
    assert not guard.watch(5, {"m": midcourse.Table(columns=["a"], rows=[[1]])})
    assert not guard.watch(5, {"n": 1.0})
    assert guard.watch(5, {"m": 1.0})


# -- state --------------------------------------------------------------------------------------

EVERY_KIND = [
    policy("non_finite"),
    alert("spike"),
    policy("plateau", patience=2),
    policy("early_stop", patience=4),
    policy("target", mode="max", value=100.0),
]
VALUES = [*FLAT, 1.0, 50.0, NAN, 3.0, 60.0, 2.0, 1.0, 200.0, 60.0, 1.0, 1.0, 70.0]


def told(found: Mapping[int, list[Any]]) -> list[Any]:
    return [(step, each.number, each.actor, each.action) for step in found for each in found[step]]


@pytest.mark.parametrize("cut", range(len(VALUES)))
def test_a_guard_that_goes_on_from_its_state_decides_the_same(cut: int) -> None:
    kinds = EVERY_KIND[1:]
    whole = told(feed(*guard_of(*kinds), VALUES))
    guard, run = guard_of(*kinds)
    first = told(feed(guard, run, VALUES[:cut]))
    again, _ = guard_of(*kinds, run=run)
    again.load_state_dict(guard.state_dict())
    proposals(again, cut - 1)
    assert first + told(feed(again, run, VALUES[cut:])) == whole


def test_a_proposal_is_in_the_state_until_the_next_value() -> None:
    """A checkpoint between the decision and the journal must not forget it."""
    guard, run = guard_of(policy("target", mode="max", value=1.0))
    guard.watch(0, {"m": 1.0})
    [proposal] = proposals(guard, 0)
    again, _ = guard_of(policy("target", mode="max", value=1.0))
    again.load_state_dict(guard.state_dict())
    assert again.next_step() == 0
    assert proposals(again, 0) == [proposal]
    run.current_step = 1
    guard.watch(1, {"m": 0.0})
    assert guard.next_step() is None


def test_what_another_run_found_is_left_to_it() -> None:
    guard, _run = guard_of(policy("target", mode="max", value=1.0))
    guard.watch(0, {"m": 1.0})
    child = Run()
    child.id = "r2"
    theirs, _ = guard_of(policy("target", mode="max", value=1.0), run=child)
    theirs.load_state_dict(guard.state_dict())
    assert proposals(theirs, 0) == []
    assert theirs.next_step() is None


def test_what_was_found_at_an_earlier_step_is_past() -> None:
    guard, _run = guard_of(policy("target", mode="max", value=1.0))
    guard.watch(0, {"m": 1.0})
    assert proposals(guard, 1) == []


def test_a_policy_that_the_state_does_not_know_begins_afresh() -> None:
    guard, run = guard_of(policy("plateau", patience=3, name="p"))
    feed(guard, run, [1.0, 1.0, 1.0])
    state = guard.state_dict()
    for other in ({}, {"policies": {}}, state):
        fork, child = guard_of(policy("early_stop", patience=1, name="p"))
        feed(fork, child, [1.0])
        fork.load_state_dict(other)
        assert list(feed(fork, child, [5.0, 5.0])) == [2], "an early stop is no plateau"


def test_the_state_is_plain_and_its_own() -> None:
    from midcourse.checkpoints.state import pack, unpack

    guard, run = guard_of(*EVERY_KIND)
    feed(guard, run, FLAT)
    plain, tensors = pack(guard.state_dict())
    assert tensors == {}
    before = guard.state_dict()
    feed(guard, run, [2.0])
    assert unpack(plain, {}) == before != guard.state_dict()


# -- a user's own -------------------------------------------------------------------------------


class Countdown(Policy):
    """Stops at the N-th value."""

    def __init__(self, count: int) -> None:
        super().__init__("m", name="countdown")
        self.left = count

    def see(self, step: int, value: float, run: Any) -> str | None:
        self.left -= 1
        return "it is over" if self.left == 0 else None

    def propose(self, why: str, run: Any) -> Any:
        return Stop(), why

    def state_dict(self) -> dict[str, Any]:
        return {"left": self.left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left = state["left"]


def test_a_users_own_policy_stands_beside_the_others() -> None:
    found = feed(*guard_of(policy("plateau", patience=1), Countdown(3)), [3.0, 2.0, 2.0])
    assert [each.actor for each in found[2]] == ["policy:plateau", "policy:countdown"]


def test_the_interval_of_a_users_own_policy_is_checked() -> None:
    with pytest.raises(ValueError, match='"100 steps"'):
        Countdown.__mro__[1].__init__(Countdown(1), "m", name="n", every="often")


# -- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ("nan", "policies.0", "must be an object such as"),
        ({}, "policies.0.kind", "is missing. Allowed: non_finite, spike,"),
        ({"kind": "plato"}, "policies.0.kind", "Did you mean plateau? Allowed:"),
        ({"kind": 3}, "policies.0.kind", "is no kind of policy. Allowed:"),
        ({"kind": ["spike"]}, "policies.0.kind", "is no kind of policy. Allowed:"),
        ({"kind": "non_finite"}, "policies.0.metric", "is missing"),
        (
            policy("non_finite", lr_facto=1),
            "policies.0.lr_facto",
            "Did you mean lr_factor? Allowed:",
        ),
        (policy("non_finite", lr_factor=1.0), "policies.0.lr_factor", "must be below 1, not 1.0"),
        (policy("non_finite", lr_factor=0), "policies.0.lr_factor", "must be above 0, not 0"),
        (
            policy("non_finite", lr_factor=True),
            "policies.0.lr_factor",
            "must be a number, not true",
        ),
        (policy("non_finite", lr_factor=NAN), "policies.0.lr_factor", "must be a finite number"),
        (policy("non_finite", at_most=1.5), "policies.0.at_most", "whole number"),
        (policy("non_finite", at_most=-1), "policies.0.at_most", "must be at least 0, not -1"),
        (policy("non_finite", every="often"), "policies.0.every", 'such as "100 steps"'),
        (policy("non_finite", name="a b"), "policies.0.name", "must match"),
        ({"kind": "non_finite", "metric": ""}, "policies.0.metric", "at least 1 character"),
        (policy("spike", window=3), "policies.0.window", "must be at least 4, not 3"),
        (policy("spike", then="stop"), "policies.0.then", "'pause' or 'alert'"),
        (policy("plateau"), "policies.0.patience", "is missing"),
        (policy("plateau", patience=0), "policies.0.patience", "must be at least 1, not 0"),
        (policy("early_stop", patience=1, mode="up"), "policies.0.mode", "'min' or 'max'"),
        (policy("target", mode="max"), "policies.0.value", "is missing"),
        (policy("target", mode="max", value="0.9"), "policies.0.value", "must be a number"),
    ],
)
def test_faults_are_named_by_their_path(given: Any, path: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        midcourse.start("x", policies=[given])
    [fault] = refused.value.faults
    assert fault.path == path
    assert message in fault.message
    assert [fault] == policy_faults([given])


def test_all_faults_are_told_at_once() -> None:
    faults = policy_faults([policy("spike", windw=1, window=3), policy("plateau", patience=0)])
    assert [fault.path for fault in faults] == [
        "policies.0.windw",
        "policies.0.window",
        "policies.1.patience",
    ]


def test_two_policies_of_one_name_are_refused() -> None:
    [fault] = policy_faults([policy("spike"), policy("spike", metric="n")])
    assert fault.path == "policies.1.name"
    assert policy_faults([policy("spike"), policy("spike", metric="n", name="other")]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_documented_field_by_field(kind: str) -> None:
    model = KINDS[kind][0]
    undocumented = [
        name
        for name, field in model.model_fields.items()
        if field.description is None and name not in ("kind", "value")
    ]
    assert undocumented == []
