"""The optimizer's live parameters, and swapping it for another in the program's own variable."""

import gc
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from steered_schedules import cyclic, one_cycle
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from midcourse.catalogue.optimizers import OPTIMIZERS
from midcourse.catalogue.registry import Registry
from midcourse.checkpoints.state import pack, unpack
from midcourse.contract.errors import InvalidInput
from midcourse.errors import CheckpointUnusable
from midcourse.live.optimizer import OptimizerPart
from midcourse.live.scheduler import SchedulerPart
from midcourse.live.table import Applied, LiveTable

ALL = OPTIMIZERS.names()
ADAM_FAMILY = ["adam", "adamw", "nadam", "radam"]
WITH_MOMENTUM = {"adam", "adamax", "adamw", "nadam", "radam", "rmsprop", "sgd"}
NOBODY: Any = None


def layer() -> nn.Linear:
    return nn.Linear(3, 2)


def make(name: str, parameters: Any, **options: Any) -> Optimizer:
    return OPTIMIZERS.make(name, parameters, **options)


class Program:
    """A training loop with an optimizer of two groups, steered as a run's would be."""

    def __init__(
        self,
        optimizer: str | Callable[[Any], Optimizer] = "sgd",
        schedule: Callable[[Optimizer], Any] | None = None,
        registry: Registry[Optimizer] | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(3)
        self.model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator))
        groups = [
            {"params": list(self.model[0].parameters()), "lr": 0.01, "weight_decay": 0.1},
            {"params": list(self.model[2].parameters()), "lr": 0.03, "weight_decay": 0.2},
        ]
        if optimizer == "rprop":
            groups = [{k: v for k, v in group.items() if k != "weight_decay"} for group in groups]
        made = make(optimizer, groups) if isinstance(optimizer, str) else optimizer(groups)
        self.optimizer = made
        self.scheduler = schedule(made) if schedule else None
        self.steps = 0
        self.parameters = LiveTable()
        part = OptimizerPart(made, lambda: self.scheduler, registry)
        self.parameters.add("optimizer", part, check=False)
        if self.scheduler is not None:
            self.parameters.add("scheduler", SchedulerPart(self.scheduler), check=False)

    def train(self, steps: int = 1) -> None:
        for _ in range(steps):
            data = torch.randn(8, 4, generator=torch.Generator().manual_seed(self.steps))
            self.optimizer.zero_grad()
            self.model(data).square().mean().backward()
            self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()
            self.steps += 1

    def set(self, changes: Mapping[str, Any]) -> Applied:
        return self.parameters.apply(self.parameters.check(changes))

    def state(self) -> Any:
        objects = {"model": self.model, "optimizer": self.optimizer}
        if self.scheduler is not None:
            objects["scheduler"] = self.scheduler
        return {
            "objects": {name: thing.state_dict() for name, thing in objects.items()},
            "parameters": self.parameters.state(),
        }

    def saved(self) -> Any:
        plain, tensors = pack(self.state())
        return json.dumps(plain), {name: tensor.clone() for name, tensor in tensors.items()}

    def load(self, saved: Any) -> None:
        state = unpack(json.loads(saved[0]), saved[1])
        self.parameters.prepare(state["parameters"])
        for name, loaded in state["objects"].items():
            getattr(self, name).load_state_dict(loaded)
        self.parameters.load_state(state["parameters"])

    def hash(self) -> str:
        return hash_of(self.state())

    def objects_hash(self) -> str:
        return hash_of(self.state()["objects"])


def hash_of(state: Any) -> str:
    plain, tensors = pack(state)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(str((name, tensors[name].dtype, tuple(tensors[name].shape))).encode())
        digest.update(tensors[name].detach().numpy().tobytes())
    return digest.hexdigest()


def exchanged(program: Program, name: str, **options: Any) -> Optimizer:
    """A new optimizer, made as a program would make it, that takes over rate and decay."""
    has_decay = "weight_decay" in OPTIMIZERS.entry(name).options.model_fields
    groups = []
    for group in program.optimizer.param_groups:
        new = {"params": group["params"], "lr": group["lr"]}
        if has_decay and "weight_decay" in group:
            new["weight_decay"] = group["weight_decay"]
        groups.append(new)
    return make(name, groups, **options)


# --- swapping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (old, new)
        for old in ("sgd", "adam", "adagrad", "rprop", "rmsprop")
        for new in ALL
        if old != new  # a swap to itself keeps the options: it has a test of its own
    ],
)
def test_a_swapped_optimizer_trains_as_one_made_at_that_step(old: str, new: str) -> None:
    steered, other = Program(old), Program(old)
    steered.train(3)
    other.train(3)
    mine, kind = steered.optimizer, type(make(new, layer().parameters()))
    applied = steered.set({"optimizer.name": new})
    assert applied.details == {"optimizer.state": "reset"}
    assert (applied.before["optimizer.name"], applied.after["optimizer.name"]) == (old, new)
    assert steered.optimizer is mine
    assert type(mine) is kind
    kept: dict[str, Any] = {}
    if {old, new} == {"sgd", "rmsprop"}:
        kept["momentum"] = 0.9 if old == "sgd" else 0.0
    other.optimizer = exchanged(other, new, **kept)
    assert steered.objects_hash() == other.objects_hash()
    steered.train(5)
    other.train(5)
    assert steered.objects_hash() == other.objects_hash()


@pytest.mark.parametrize("new", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("old", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("schedule", [lambda o: lr_scheduler.StepLR(o, 2, 0.5), one_cycle, cyclic])
def test_a_swap_goes_on_under_the_schedule(schedule: Any, old: str, new: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program, other = Program(old, schedule), Program(old, schedule)
        program.set({"optimizer.name": new})  # before the first step: torch would warn now
        program.train(2)
        other.train(2)
        program.set({"optimizer.name": new, "optimizer.momentum": 0.6})
        other.set({"optimizer.momentum": 0.6})
        for _ in range(5):
            program.train()
            other.train()
            for group, expected in zip(
                program.optimizer.param_groups, other.optimizer.param_groups, strict=True
            ):
                assert group["lr"] == expected["lr"]
                assert momentum(group) == momentum(expected)
        gc.collect()
        later = Program(old, schedule)
        later.load(program.saved())
        later.steps = program.steps
        program.train(3)
        later.train(3)
    assert later.hash() == program.hash()


def momentum(group: dict[str, Any]) -> float:
    return float(group["momentum"] if "momentum" in group else group["betas"][0])


@pytest.mark.parametrize("new", ["adagrad", "adadelta", "rprop"])
def test_a_schedule_that_cycles_the_momentum_needs_one(new: str) -> None:
    program = Program("sgd", one_cycle)
    program.train(2)
    before = program.hash()
    with pytest.raises(InvalidInput, match="which has no momentum, while OneCycleLR cycles"):
        program.set({"optimizer.name": new})
    assert program.hash() == before


@pytest.mark.parametrize("new", ALL)
def test_a_checkpoint_brings_the_swapped_optimizer_into_a_program_that_starts_anew(
    new: str,
) -> None:
    program, later = Program("sgd"), Program("sgd")
    program.train(2)
    program.set({"optimizer.name": new})
    program.train(2)
    later.load(program.saved())
    later.steps = program.steps
    assert later.parameters.values() == program.parameters.values()
    made = later.optimizer.defaults.items()  # torch adds one when it loads
    assert made >= program.optimizer.defaults.items()
    program.train(3)
    later.train(3)
    assert later.hash() == program.hash()


@pytest.mark.parametrize("schedule", [None, one_cycle])
def test_a_checkpoint_from_before_the_swap_takes_the_same_program_back(schedule: Any) -> None:
    program, untouched = Program("sgd", schedule), Program("sgd", schedule)
    program.train(2)
    before = program.saved()
    program.set({"optimizer.name": "adamw"})
    program.train(3)
    program.load(before)
    program.steps = 2
    assert type(program.optimizer) is torch.optim.SGD
    program.train(4)
    untouched.train(6)
    assert program.hash() == untouched.hash()


@pytest.mark.parametrize("new", ALL)
@pytest.mark.parametrize("old", ["sgd", "adam", "rprop"])
@pytest.mark.parametrize("schedule", [None, lambda o: lr_scheduler.ExponentialLR(o, 0.9)])
def test_a_swap_that_is_undone_leaves_no_trace(schedule: Any, old: str, new: str) -> None:
    program, untouched = Program(old, schedule), Program(old, schedule)
    program.train(2)
    untouched.train(2)
    attributes = set(vars(program.optimizer))
    done = program.parameters.try_out(
        program.parameters.check({"optimizer.name": new, "optimizer.lr": 0.5})
    )
    assert done.after["optimizer.name"] == new
    assert program.hash() == untouched.hash()
    assert set(vars(program.optimizer)) == attributes
    program.train(3)
    untouched.train(3)
    assert program.hash() == untouched.hash()


def test_hooks_and_the_programs_own_marks_stay() -> None:
    program = Program("sgd")
    seen: list[str] = []
    program.optimizer.register_step_post_hook(lambda o, *_: seen.append(type(o).__name__))
    program.optimizer.owner = "me"  # type: ignore[attr-defined]
    program.optimizer.param_groups[1]["name"] = "head"
    program.train()
    program.set({"optimizer.name": "adam"})
    program.train()
    assert seen == ["SGD", "Adam"]
    assert program.optimizer.owner == "me"  # type: ignore[attr-defined]
    assert program.optimizer.param_groups[1]["name"] == "head"


def test_an_optimizer_with_attributes_of_its_own_can_be_left_and_come_back_to() -> None:
    model = layer()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)
    part = OptimizerPart(optimizer, lambda: None)
    table = LiveTable()
    table.add("optimizer", part, check=False)
    before, empty = table.state(), optimizer.state_dict()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    table.apply(table.check({"optimizer.name": "sgd"}))
    assert not hasattr(optimizer, "_params")
    optimizer.step(closure)
    table.prepare(before)
    optimizer.load_state_dict(empty)
    assert type(optimizer) is torch.optim.LBFGS
    optimizer.step(closure)


def test_the_direction_stays() -> None:
    program = Program(lambda groups: torch.optim.SGD(groups, lr=0.1, maximize=True))
    program.set({"optimizer.name": "adamw"})
    assert all(group["maximize"] for group in program.optimizer.param_groups)


def test_frozen_weights_and_named_ones_can_be_swapped() -> None:
    model = nn.Sequential(layer(), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    table = LiveTable()
    table.add("optimizer", OptimizerPart(optimizer, lambda: None), check=False)
    table.apply(table.check({"optimizer.name": "adam"}))
    model(torch.ones(1, 3)).sum().backward()
    weights = model[0].weight.detach().clone()
    optimizer.step()
    assert torch.equal(model[0].weight, weights)
    assert optimizer.param_groups[0]["param_names"] == [
        name for name, _ in model.named_parameters()
    ]


def test_a_gradient_scaler_goes_on_with_the_swapped_optimizer() -> None:
    program = Program("sgd")
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for new in ("adam", "sgd"):
        program.optimizer.zero_grad()
        scaler.scale(program.model(torch.ones(1, 4)).sum()).backward()
        before = program.model[0].weight.detach().clone()
        scaler.step(program.optimizer)
        scaler.update()
        assert not torch.equal(program.model[0].weight, before)
        program.set({"optimizer.name": new})


def test_a_fused_optimizer_leaves_nothing_behind() -> None:
    program = Program(lambda groups: torch.optim.Adam(groups, fused=True))
    program.train(2)
    program.set({"optimizer.name": "adamw"})
    assert not hasattr(program.optimizer, "_step_supports_amp_scaling")
    program.train(2)


@pytest.mark.parametrize("state", ["reset", "carry"])
def test_a_swap_to_itself_keeps_the_options(state: str) -> None:
    def nesterov(groups: Any) -> Optimizer:
        return torch.optim.SGD(groups, momentum=0.7, nesterov=True)

    program, other = Program(nesterov), Program(nesterov)
    program.train(3)
    other.train(3)
    applied = program.set({"optimizer.name": {"value": "sgd", "state": state}})
    if state == "reset":
        other.optimizer.state.clear()
        assert applied.details == {"optimizer.state": "reset"}
    else:
        assert applied.details == {"optimizer.state": "carried: momentum_buffer"}
    program.train(3)
    other.train(3)
    assert program.objects_hash() == other.objects_hash()


# --- what a swap takes over --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "changes", "expected"),
    [
        ("adam", {"optimizer.name": "adamw"}, {"betas": (0.8, 0.9)}),
        ("adam", {"optimizer.name": "sgd"}, {"momentum": 0.9}),
        ("adam", {"optimizer.name": "nadam", "optimizer.betas": [0.1, 0.2]}, {"betas": (0.1, 0.2)}),
        ("adam", {"optimizer.name": "adamax", "optimizer.momentum": 0.3}, {"betas": (0.3, 0.9)}),
        ("sgd", {"optimizer.name": "rmsprop"}, {"momentum": 0.5}),
        ("sgd", {"optimizer.name": "adam"}, {"betas": (0.9, 0.999)}),
        ("sgd", {"optimizer.name": "adam", "optimizer.momentum": 0.3}, {"betas": (0.3, 0.999)}),
        ("sgd", {"optimizer.name": "adagrad", "optimizer.weight_decay": 0.3}, {"lr_decay": 0.0}),
    ],
)
def test_momentum_and_betas_are_given_or_kept_or_default(
    old: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    makers: dict[str, Any] = {
        "adam": lambda groups: torch.optim.Adam(groups, betas=(0.8, 0.9), amsgrad=True),
        "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.5),
    }
    program = Program(makers[old])
    program.train()
    applied = program.set(changes)
    for group in program.optimizer.param_groups:
        assert {key: group[key] for key in expected} == expected
        assert not group.get("amsgrad")
    for name, value in changes.items():
        assert applied.after[name] == value
    assert [group["lr"] for group in program.optimizer.param_groups] == [0.01, 0.03]
    decays = [group["weight_decay"] for group in program.optimizer.param_groups]
    asked = changes.get("optimizer.weight_decay", 0.1)
    assert decays == [asked, asked * 2]
    program.train()


def test_the_other_values_are_the_new_optimizers() -> None:
    program = Program("rprop", lambda o: lr_scheduler.StepLR(o, 2, 0.5))
    program.train(2)
    applied = program.set(
        {
            "optimizer.name": "adamw",
            "optimizer.lr": {"value": 2, "mode": "scale"},
            "optimizer.betas": [0.5, 0.75],
            "optimizer.weight_decay": 0.25,
        }
    )
    assert applied.before == {
        "optimizer.name": "rprop",
        "optimizer.lr": 0.01,
        "optimizer.momentum": None,
        "optimizer.betas": None,
        "optimizer.weight_decay": None,
    }
    assert applied.after == {
        "optimizer.name": "adamw",
        "optimizer.lr": 0.02,
        "optimizer.momentum": 0.5,
        "optimizer.betas": [0.5, 0.75],
        "optimizer.weight_decay": 0.25,
    }
    assert [group["lr"] for group in program.optimizer.param_groups] == [0.01, 0.03]


# --- the state policy --------------------------------------------------------------------------


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("new", ADAM_FAMILY)
@pytest.mark.parametrize("old", ADAM_FAMILY)
def test_moments_that_mean_the_same_are_carried(old: str, new: str, amsgrad: bool) -> None:
    def maker(groups: Any) -> Optimizer:
        return make(old, groups, **({"amsgrad": amsgrad} if old in ("adam", "adamw") else {}))

    program = Program(maker)
    program.train(4)
    found = {key: dict(entry) for key, entry in program.optimizer.state.items()}
    applied = program.set({"optimizer.name": {"value": new, "state": "carry"}})
    told = applied.details["optimizer.state"]
    assert isinstance(told, str)
    assert told.startswith("carried: exp_avg, exp_avg_sq, ")
    fresh = Program(new)
    fresh.train(4)
    for weight, entry in program.optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(entry[name], found[weight][name])
    if new == "nadam":
        expected = [entry["mu_product"] for entry in fresh.optimizer.state.values()]
        carried = [entry["mu_product"] for entry in program.optimizer.state.values()]
        assert all(map(torch.equal, carried, expected))
    if old != new:
        keys = [set(entry) for entry in program.optimizer.state.values()]
        assert keys == [set(entry) for entry in fresh.optimizer.state.values()]
    program.train(3)


def test_carried_moments_train_as_if_the_new_optimizer_had_gathered_them() -> None:
    """Without weight decay Adam and AdamW are one: carried to and fro, nothing has happened."""

    def adam(groups: Any) -> Optimizer:
        return torch.optim.Adam([{"params": group["params"]} for group in groups])

    program, untouched = Program(adam), Program(adam)
    program.train(3)
    for name in ("adamw", "adam"):
        program.set({"optimizer.name": {"value": name, "state": "carry"}})
        program.train(3)
    untouched.train(9)
    assert program.objects_hash() == untouched.objects_hash()


@pytest.mark.parametrize(
    ("old", "new"),
    [("sgd", "rmsprop"), ("rmsprop", "sgd"), ("adam", "adamax"), ("adam", "rmsprop"),
     ("rmsprop", "adadelta"), ("adagrad", "adam"), ("sgd", "adam")],
)  # fmt: skip
def test_moments_that_only_look_alike_are_not_carried(old: str, new: str) -> None:
    program = Program(old)
    program.train(2)
    before = program.hash()
    with pytest.raises(InvalidInput, match="do not mean the same") as caught:
        program.set({"optimizer.name": {"value": new, "state": "carry"}})
    assert "Adam, AdamW, NAdam, RAdam" in str(caught.value)
    assert program.hash() == before


def test_where_there_are_no_moments_yet_none_are_carried() -> None:
    program = Program("adam")
    applied = program.set({"optimizer.name": {"value": "adamw", "state": "carry"}})
    assert applied.details == {"optimizer.state": "carried: nothing, as there was none yet"}
    program.train(2)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "changes", "message"),
    [
        ("sgd", {"optimizer.name": "sdg"}, "must be one of adadelta, .*, sgd, not"),
        ("sgd", {"optimizer.name": 3}, "optimizer.name: must be a string"),
        ("sgd", {"optimizer.name": {"value": "adam", "state": "keep"}}, "one of .*reset.*carry"),
        ("sgd", {"optimizer.betas": [0.9, 0.99]}, "no option of the optimizer sgd; .*: adam, adam"),
        ("adagrad", {"optimizer.momentum": 0.9}, "no option of the optimizer adagrad; .*, sgd"),
        ("rprop", {"optimizer.weight_decay": 0.1}, "no option of the optimizer rprop"),
        (
            "sgd",
            {"optimizer.name": "adagrad", "optimizer.momentum": 0.5},
            "optimizer.momentum: is no option of the optimizer adagrad",
        ),
        (
            "sgd",
            {"optimizer.name": "adam", "optimizer.momentum": 0.5, "optimizer.betas": [0.6, 0.9]},
            "disagree",
        ),
        ("adam", {"optimizer.betas": [0.9]}, "must be 2 numbers"),
        ("adam", {"optimizer.betas": [0.9, 1.0]}, "must be 2 numbers, each at least 0 and below 1"),
        ("adam", {"optimizer.momentum": None}, "must be a number"),
        ("sgd", {"optimizer.lr": 0.0}, "above 0"),
        ("sgd", {"optimizer.lr": float("nan")}, "finite"),
        ("sgd", {"optimizer.lr": {"value": 0.1, "mode": "set"}}, "one of .*override.*scale"),
    ],
)
def test_what_is_refused_changes_nothing(
    optimizer: str, changes: dict[str, Any], message: str
) -> None:
    program = Program(optimizer)
    program.train(2)
    before = program.hash()
    with pytest.raises(InvalidInput, match=message):
        program.set(changes)
    assert program.hash() == before
    program.train()


def test_all_faults_are_told() -> None:
    program = Program("adagrad")
    with pytest.raises(InvalidInput) as caught:
        program.set({"optimizer.momentum": 0.5, "optimizer.betas": [0.5, 0.5]})
    assert [it.path for it in caught.value.faults] == ["optimizer.momentum", "optimizer.betas"]


def test_nesterov_needs_some_momentum() -> None:
    program = Program(lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True))
    with pytest.raises(InvalidInput, match=r"optimizer.momentum: must be above 0 with nesterov"):
        program.set({"optimizer.momentum": 0})
    assert program.optimizer.param_groups[0]["momentum"] == 0.9


def test_a_step_that_somebody_replaced_stands_in_the_way() -> None:
    program = Program("sgd")
    program.optimizer.step = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(InvalidInput, match=r"something has replaced step\(\)"):
        program.set({"optimizer.name": "adam"})


class Wrapper(torch.optim.Optimizer):
    """Stands before another optimizer, as Accelerate's does."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        self.state = inner.state
        self.defaults = inner.defaults

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return self.inner.param_groups


def test_a_wrapper_is_steered_and_not_swapped() -> None:
    inner = torch.optim.SGD(layer().parameters(), lr=0.1)
    table = LiveTable()
    table.add("optimizer", OptimizerPart(Wrapper(inner), lambda: None), check=False)
    table.apply(table.check({"optimizer.lr": 0.5}))
    assert inner.param_groups[0]["lr"] == 0.5
    with pytest.raises(InvalidInput, match="stands before another optimizer"):
        table.apply(table.check({"optimizer.name": "adam"}))


# --- optimizers of one's own -------------------------------------------------------------------


class Plain(torch.optim.Optimizer):
    """A program's own: w -= lr * g."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: NOBODY = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                weight.sub_(group["lr"] * weight.grad)


def test_an_optimizer_that_nobody_knows_is_steered_and_can_be_left() -> None:
    program = Program(lambda groups: Plain([{"params": g["params"], "lr": 0.1} for g in groups]))
    values = program.parameters.values()
    assert values["optimizer.name"] == "Plain"
    assert values["optimizer.weight_decay"] is None
    assert program.set({"optimizer.lr": 0.2}).after == {"optimizer.lr": 0.2}
    program.train()
    with pytest.raises(InvalidInput, match="no option of the optimizer Plain"):
        program.set({"optimizer.weight_decay": 0.2})
    before = program.saved()
    program.set({"optimizer.name": "adamw"})
    program.train()
    program.load(before)
    assert type(program.optimizer) is Plain
    program.train()


def own_registry() -> Registry[Optimizer]:
    registry: Registry[Optimizer] = Registry("optimizer", given=1)
    registry.register("plain")(Plain)

    @registry.register("heavy")
    def heavy(params: Any, momentum: float = 0.99) -> Optimizer:
        """SGD with much momentum."""
        return torch.optim.SGD(params, lr=0.1, momentum=momentum)

    @registry.register("broken")
    def broken(params: Any) -> Optimizer:
        raise RuntimeError("no such thing today")

    @registry.register("needy")
    def needy(params: Any, rank: int) -> Optimizer:
        raise AssertionError("not made")

    return registry


def test_a_program_chooses_what_may_be_chosen() -> None:
    program = Program("sgd", registry=own_registry())
    program.train()
    (row,) = [row for row in program.parameters.declarations() if row.name == "optimizer.name"]
    assert row.choices == ["broken", "heavy", "needy", "plain"]
    assert program.parameters.values()["optimizer.name"] == "SGD"
    assert program.set({"optimizer.name": "heavy"}).after["optimizer.name"] == "heavy"
    assert [group["lr"] for group in program.optimizer.param_groups] == [0.01, 0.03]
    program.train()
    later = Program("sgd", registry=own_registry())
    later.load(program.saved())
    assert later.parameters.values() == program.parameters.values()
    before = program.hash()
    for name, message in (("broken", "no such thing today"), ("needy", "rank is missing")):
        with pytest.raises(InvalidInput, match=f"cannot become {name}: {message}"):
            program.set({"optimizer.name": name})
    assert program.hash() == before


def test_a_checkpoint_of_an_optimizer_that_this_program_cannot_make_is_unusable() -> None:
    program = Program("sgd", registry=own_registry())
    program.set({"optimizer.name": "plain"})
    with pytest.raises(CheckpointUnusable, match=r"optimizer is plain: .*no optimizer is named"):
        Program("sgd").load(program.saved())


# --- single values -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_all_are_declared_and_what_is_lacking_is_null(name: str) -> None:
    values = Program(name).parameters.values()
    assert values["optimizer.name"] == name
    assert values["optimizer.lr"] == 0.01
    assert (values["optimizer.momentum"] is not None) == (name in WITH_MOMENTUM)
    assert (values["optimizer.betas"] is not None) == (
        name in WITH_MOMENTUM and name not in ("sgd", "rmsprop")
    )
    assert (values["optimizer.weight_decay"] is not None) == (name != "rprop")


@pytest.mark.parametrize("name", ALL)
def test_an_optimizer_trains_on_after_every_change(name: str) -> None:
    """As one that began with the values: nothing that it makes at its first step is missing."""
    program = Program(name)
    program.train()
    held = [key for key, value in program.parameters.values().items() if value is not None]
    numbers = set(held) - {"optimizer.name", "optimizer.lr", "optimizer.betas"}
    for value in (0.5, 0.0, 0.25):
        changes = dict.fromkeys(numbers, value)
        if name != "rprop":
            changes["optimizer.lr"] = 0.1 + value
        after = program.set(changes).after
        assert {key: after[key] for key in changes} == changes
        program.train()
        assert program.parameters.values().items() >= after.items()


def test_a_rate_that_rprop_no_longer_reads_is_refused() -> None:
    program = Program("rprop")
    program.set({"optimizer.lr": 0.5})
    program.train()
    with pytest.raises(InvalidInput, match="has no effect any more: Rprop reads it once"):
        program.set({"optimizer.lr": 0.25})
    program.set({"optimizer.name": "rprop", "optimizer.lr": 0.25})
    program.train()
    sizes = [state["step_size"].unique() for state in program.optimizer.state.values()]
    assert [float(size) for size in sizes] == pytest.approx([0.25, 0.25, 0.75, 0.75])


def test_rmsprop_that_gets_momentum_trains_as_if_it_had_begun_now() -> None:
    program = Program("rmsprop")
    program.train()
    assert all("momentum_buffer" not in state for state in program.optimizer.state.values())
    before = program.hash()
    program.parameters.try_out(program.parameters.check({"optimizer.momentum": 0.9}))
    assert program.hash() == before
    program.set({"optimizer.momentum": 0.9})
    for state in program.optimizer.state.values():
        assert state["momentum_buffer"].eq(0).all()
    program.train()
    assert any(state["momentum_buffer"].ne(0).any() for state in program.optimizer.state.values())


def test_momentum_is_the_first_beta_and_leaves_the_second() -> None:
    program = Program(lambda groups: torch.optim.AdamW(groups, betas=(0.8, 0.95)))
    after = program.set({"optimizer.momentum": 0.5}).after
    assert after == {"optimizer.momentum": 0.5, "optimizer.betas": [0.5, 0.95]}
    assert program.optimizer.param_groups[1]["betas"] == (0.5, 0.95)


@pytest.mark.parametrize(
    ("decays", "value", "expected"),
    [
        ((0.0, 0.1, 0.2), 0.3, [0.0, 0.3, 0.6]),
        ((0.2, 0.0, 0.1), 0.0, [0.0, 0.0, 0.0]),
        ((0.0, 0.0, 0.0), 0.3, [0.3, 0.3, 0.3]),
    ],
)
def test_weight_decay_keeps_the_groups_ratios(
    decays: tuple[float, ...], value: float, expected: list[float]
) -> None:
    groups = [{"params": layer().parameters(), "weight_decay": decay} for decay in decays]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    table = LiveTable()
    table.add("optimizer", OptimizerPart(optimizer, lambda: None), check=False)
    after = table.apply(table.check({"optimizer.weight_decay": value})).after
    assert after == {"optimizer.weight_decay": value}
    found = [group["weight_decay"] for group in optimizer.param_groups]
    assert found == pytest.approx(expected)
