"""Fresh weights for layers: from a seed, beside the run's own random streams."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from tracked_model import Training, hash_of, sgd

from midcourse.contract.errors import InvalidInput
from midcourse.errors import CommandRejected
from midcourse.live.reinitialise import NotReset, check_reinitialise, reinitialise

OPTIMIZERS: list[Callable[..., torch.optim.Optimizer]] = [
    sgd,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adagrad,  # makes its states when it is made
    torch.optim.RMSprop,
    torch.optim.NAdam,
    torch.optim.Rprop,
    torch.optim.ASGD,
    torch.optim.Adadelta,
]


def renew(training: Training, *patterns: str, seed: str = "a") -> Any:
    return reinitialise(training.model, training.optimizer, patterns, seed)


def test_only_the_layers_that_match_are_renewed_and_the_hashes_tell() -> None:
    training = Training()
    training.train(2)
    before = training.weights()
    told = renew(training, "features.0", "classifier")
    moved = {name for name, weight in training.weights().items() if weight != before[name]}
    assert moved == {
        "features.0.weight",
        "features.0.bias",
        "classifier.1.weight",
        "classifier.1.bias",
    }
    assert told.before.keys() == told.after.keys() == {"features.0", "classifier.1"}
    assert all(told.before[name] != told.after[name] for name in told.before)
    assert told.details["layers"] == ["classifier.1", "features.0"]
    assert told.details["weights"] == 6 * 8 + 8 + 8 * 3 + 3
    assert told.details["optimizer_states_reset"] == 4
    assert renew(training, "classifier.1").before == {"classifier.1": told.after["classifier.1"]}


def test_the_weights_follow_from_the_seed_alone() -> None:
    one, other = Training(), Training()
    one.train(3)
    torch.manual_seed(99)
    assert renew(one, "features").after == renew(other, "features").after
    assert renew(one, "features", seed="b").after != renew(other, "features").after


def test_statistics_begin_anew() -> None:
    training = Training()
    training.train(3)
    norm: Any = training.model.features[1]
    renew(training, "features.1")
    assert norm.running_mean.eq(0).all()
    assert norm.num_batches_tracked == 0


def test_the_runs_own_random_streams_go_on_as_if_nothing_had_been() -> None:
    training = Training()
    states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    renew(training, "*")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_the_optimizer_begins_anew_for_these_weights_alone(
    make: Callable[..., torch.optim.Optimizer],
) -> None:
    training = Training(make_optimizer=make)
    training.train(3)
    kept, renewed = training.model.features[0].weight, training.model.classifier[1].weight
    before = hash_of(training.optimizer.state[kept])
    renew(training, "classifier")
    assert renewed.grad is None
    assert kept.grad is not None
    assert hash_of(training.optimizer.state[kept]) == before

    alone = nn.Parameter(renewed.detach().clone())
    fresh = make([alone])
    training.optimizer.zero_grad()
    renewed.grad = torch.ones_like(renewed)
    alone.grad = torch.ones_like(alone)
    training.optimizer.step()
    fresh.step()
    assert torch.equal(renewed, alone)
    training.train(1)


def test_an_optimizer_that_makes_its_states_when_made_has_them() -> None:
    training = Training(make_optimizer=torch.optim.Adagrad)
    training.train(2)
    renew(training, "classifier")
    state = training.optimizer.state[training.model.classifier[1].weight]
    assert state["step"] == 0
    assert state["sum"].eq(0).all()


def test_frozen_weights_are_renewed_and_stay_frozen() -> None:
    training = Training()
    training.train(1)
    training.set({"model.frozen": ["features"]})
    told = renew(training, "features.0")
    assert told.before != told.after
    weights = training.weights()
    training.train(2)
    assert training.weights()["features.0.weight"] == weights["features.0.weight"]
    assert training.values()["model.frozen"] == ["features"]


def test_attention_is_made_as_its_constructor_makes_it() -> None:
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "head": nn.Linear(4, 2)})
    told = reinitialise(model, None, ["attention"], "a")
    assert told.details["layers"] == ["attention", "attention.out_proj"]
    assert model["attention"].out_proj.bias.eq(0).all()


class Raw(nn.Module):
    """Holds a weight and does not know how to renew it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale


class Idle(Raw):
    def reset_parameters(self) -> None:
        """Forgets its weight."""


class Replacing(Raw):
    def reset_parameters(self) -> None:
        self.scale = nn.Parameter(torch.zeros(3))


class Failing(Raw):
    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.scale.zero_()
        raise RuntimeError("struck")


def model_with(layer: nn.Module) -> nn.Module:
    model: Any = Training().model
    model.add_module("extra", layer)
    return model  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("patterns", "layer", "message"),
    [
        (["featurs"], Idle(), "'featurs' matches no layer. Did you mean features"),
        (["a", "b"], Idle(), "'a' matches no layer.*'b' matches no layer"),
        (["features.2"], Idle(), "'features.2' matches no layer"),
        (["*.weight"], Idle(), r"'\*.weight' matches no layer"),
        (["*"], Raw(), r"extra holds weights \(scale\) and has no reset_parameters"),
        (
            ["extra"],
            nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
            "extra is parametrized",
        ),
        (["extra"], nn.LazyLinear(3), "has no weights before its first step"),
    ],
)
def test_what_cannot_be_renewed_is_refused_by_name(
    patterns: list[str], layer: nn.Module, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_reinitialise(model_with(layer), patterns)


def test_without_a_model_there_is_nothing_to_renew() -> None:
    with pytest.raises(CommandRejected, match="tracks no model"):
        check_reinitialise(None, ["*"])


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (Idle(), NotReset, "extra kept its scale"),
        (Replacing(), NotReset, "extra has another scale"),
        (Failing(), RuntimeError, "struck"),
    ],
)
def test_a_failure_half_way_leaves_everything_as_it_was(
    layer: nn.Module, error: type[Exception], message: str
) -> None:
    training = Training(model_with(layer))
    training.train(3)
    before, generator = training.hash(), torch.get_rng_state()
    entries = {name: id(weight) for name, weight in training.model.named_parameters()}
    with pytest.raises(error, match=message):
        renew(training, "*")
    assert training.hash() == before
    assert {name: id(weight) for name, weight in training.model.named_parameters()} == entries
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_container_renews_what_it_holds_in_lists() -> None:
    class Owner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ParameterList([torch.ones(2), torch.ones(2)])

        def reset_parameters(self) -> None:
            for scale in self.scales:
                nn.init.normal_(scale)

    model = model_with(Owner())
    told = reinitialise(model, None, ["extra"], "a")
    assert told.before != told.after
