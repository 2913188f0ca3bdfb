"""A frozen weight does not move by a bit; its statistics stand still where that is wanted."""

import copy
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from tracked_model import INPUTS, Training, make_model, sgd

from midcourse.contract.errors import InvalidInput

Make = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda w, **o: torch.optim.SGD(w, lr=0.1, momentum=0.9, weight_decay=0.1, **o),
    "nesterov": lambda w, **o: torch.optim.SGD(
        w, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1, **o
    ),
    "adam": lambda w, **o: torch.optim.Adam(w, lr=0.01, weight_decay=0.1, **o),
    "adamw": lambda w, **o: torch.optim.AdamW(w, lr=0.01, weight_decay=0.1, **o),
}
ONLY_FOREACH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "rmsprop": lambda w, **o: torch.optim.RMSprop(w, lr=0.01, momentum=0.9, weight_decay=0.1, **o),
    "nadam": lambda w, **o: torch.optim.NAdam(w, lr=0.01, weight_decay=0.1, **o),
}
PATHS: dict[str, dict[str, bool]] = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
CASES = [
    *((make, PATHS[path]) for make in OPTIMIZERS.values() for path in PATHS),
    *((make, PATHS[path]) for make in ONLY_FOREACH.values() for path in ("loop", "foreach")),
]


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize(("make", "path"), CASES)
def test_a_frozen_weight_does_not_move_by_a_bit(
    make: Callable[..., torch.optim.Optimizer], path: dict[str, bool], set_to_none: bool
) -> None:
    training = Training(make_optimizer=lambda weights: make(weights, **path))
    training.set_to_none = set_to_none
    training.train(3)  # so that there are gradients, momentum and moments
    before = training.weights()
    training.set({"model.frozen": ["features", "*.bias"]})
    training.train(5)
    after = training.weights()
    moved = {name for name in after if after[name] != before[name]}
    assert moved == {"classifier.1.weight"}
    training.set({"model.frozen": []})
    training.train(1)
    assert all(training.weights()[name] != after[name] for name in after)


def test_a_weight_that_is_let_go_goes_on_with_the_momentum_it_had() -> None:
    training = Training()
    training.train(3)
    weight = training.model.features[0].weight
    buffer = training.optimizer.state[weight]["momentum_buffer"].clone()
    value = weight.detach().clone()
    training.set({"model.frozen": ["features.0"]})
    training.train(3)
    assert torch.equal(training.optimizer.state[weight]["momentum_buffer"], buffer)
    training.set({"model.frozen": []})
    training.train(1)
    gradient = weight.grad + 0.05 * value
    expected = value - 0.1 * (0.9 * buffer + gradient)
    torch.testing.assert_close(weight.detach(), expected)


def test_the_list_is_the_whole_truth_and_is_read_back_in_its_shortest_form() -> None:
    training = Training()
    assert training.values()["model.frozen"] == []
    patterns = ["features.0.bias", "features.0.weight", "features.1.*"]
    assert training.set({"model.frozen": patterns}).after == {"model.frozen": ["features"]}
    applied = training.set({"model.frozen": ["*.bias"]})
    assert applied.before == {"model.frozen": ["features"]}
    assert applied.after == {
        "model.frozen": ["classifier.1.bias", "features.0.bias", "features.1.bias"]
    }
    assert training.set({"model.frozen": applied.after["model.frozen"]}).after == applied.after


def test_what_the_program_froze_is_shown_and_can_be_let_go() -> None:
    model = make_model()
    model.features.requires_grad_(False)
    training = Training(model)
    assert training.values()["model.frozen"] == ["features"]
    before = training.weights()
    training.train(2)
    assert training.weights()["features.0.weight"] == before["features.0.weight"]
    training.set({"model.frozen": []})
    training.train(1)
    assert training.weights()["features.0.weight"] != before["features.0.weight"]


def test_what_no_optimizer_holds_is_not_said_to_train() -> None:
    model = make_model()
    model.features.requires_grad_(False)
    training = Training(
        model, lambda weights: sgd(weight for weight in weights if weight.requires_grad)
    )
    with pytest.raises(InvalidInput, match="must have features: the optimizer does not hold"):
        training.set({"model.frozen": []})
    training.set({"model.frozen": ["features", "classifier.1.bias"]})
    training.set({"model.frozen": ["features"]})


def test_tied_weights_are_frozen_together() -> None:
    model = nn.ModuleDict({"one": nn.Linear(3, 3), "two": nn.Linear(3, 3)})
    model["two"].weight = model["one"].weight
    training = Training(model)
    assert training.set({"model.frozen": ["two.weight"]}).after == {
        "model.frozen": ["one.weight", "two.weight"]
    }


@pytest.mark.parametrize("statistics", [False, True])
def test_a_new_process_has_frozen_what_the_checkpoint_had(statistics: bool) -> None:
    training = Training()
    training.train(2)
    training.set({"model.frozen": ["features"], "model.frozen_statistics": statistics})
    training.train(2)
    saved = training.saved()
    training.train(3)

    fresh = Training()
    fresh.load(saved)
    assert fresh.values() == {**training.values()}
    assert fresh.values()["model.frozen"] == ["features"]
    fresh.train(3)
    assert fresh.hash() == training.hash()

    fresh.set({"model.frozen": []})
    training.set({"model.frozen": []})
    for one in (fresh, training):
        torch.manual_seed(9)
        one.train(3)
    assert fresh.hash() == training.hash()


def test_going_back_lets_go_of_what_was_frozen_since() -> None:
    training = Training()
    training.train(2)
    saved, before = training.saved(), training.hash()
    training.train(2)
    never_changed = training.hash()
    training.load(saved)
    training.set({"model.frozen": ["features"], "model.frozen_statistics": True})
    training.train(3)
    training.load(saved)
    assert training.values()["model.frozen"] == []
    assert training.values()["model.frozen_statistics"] is False
    training.train(2)
    assert training.hash() == never_changed != before


# -- statistics ------------------------------------------------------------------------------------


def statistics(training: Training) -> list[Tensor]:
    norm: Any = training.model.features[1]
    return [norm.running_mean.clone(), norm.running_var.clone(), norm.num_batches_tracked.clone()]


def stand_still(training: Training) -> bool:
    before = statistics(training)
    training.train(2)
    return all(map(torch.equal, before, statistics(training)))


def test_statistics_of_a_frozen_layer_move_unless_they_are_frozen_too() -> None:
    training = Training()
    training.set({"model.frozen": ["features"]})
    assert not stand_still(training)
    training.set({"model.frozen_statistics": True})
    assert stand_still(training)
    training.set({"model.frozen_statistics": False})
    assert not stand_still(training)


def test_a_held_layer_normalises_by_its_running_statistics() -> None:
    training = Training()
    training.train(3)
    training.set({"model.frozen": ["features.1"], "model.frozen_statistics": True})
    training.model.train()
    norm: Any = training.model.features[1]
    inputs = torch.randn(16, 8)
    assert torch.equal(
        norm(inputs),
        nn.functional.batch_norm(
            inputs, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        ),
    )


def test_letting_go_of_the_weights_lets_go_of_the_statistics() -> None:
    training = Training()
    training.set({"model.frozen": ["features"], "model.frozen_statistics": True})
    training.train(1)
    training.set({"model.frozen": ["classifier"]})
    assert training.model.features[1].training
    assert not stand_still(training)
    training.set({"model.frozen": ["features"]})
    assert stand_still(training)  # the value still stands


@pytest.mark.parametrize("mode", [True, False])
def test_a_layer_that_is_let_go_has_the_mode_that_was_asked_for(mode: bool) -> None:
    training = Training()
    norm: Any = training.model.features[1]
    training.set({"model.frozen": ["features"], "model.frozen_statistics": True})
    training.model.train(mode)
    assert not norm.training
    training.set({"model.frozen_statistics": False})
    assert norm.training is mode


def test_a_layer_without_weights_belongs_to_the_module_around_it() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, affine=False)), nn.Linear(8, 3)
    )
    training = Training(model)
    training.set({"model.frozen": ["0"], "model.frozen_statistics": True})
    before = model[0][1].running_mean.clone()
    training.train(1)
    assert torch.equal(model[0][1].running_mean, before)


def test_a_copy_of_a_model_with_held_layers_is_on_its_own() -> None:
    training = Training()
    training.set({"model.frozen": ["features"], "model.frozen_statistics": True})
    for twin in (copy.deepcopy(training.model), pickle.loads(pickle.dumps(training.model))):
        twin.train()
        assert not twin.features[1].training
        assert twin.features[1].train() is twin.features[1]
        assert training.model.features[1].train() is training.model.features[1]


def test_a_compiled_model_notices() -> None:
    training = Training(torch.compile(make_model(), backend="eager"))  # type: ignore[arg-type]
    training.train(2)
    inner: Any = training.model._orig_mod  # type: ignore[union-attr]
    training.set({"model.frozen": ["features"], "model.frozen_statistics": True})
    before = [it.clone() for it in inner.features.state_dict().values()]
    training.train(3)
    assert all(map(torch.equal, before, inner.features.state_dict().values()))
    training.set({"model.frozen": []})
    training.train(1)
    assert not any(map(torch.equal, before, inner.features.state_dict().values()))


def test_evaluation_is_unchanged_by_freezing() -> None:
    training = Training()
    training.train(2)
    training.model.eval()
    before = training.model(INPUTS)
    training.set({"model.frozen": ["features"], "model.frozen_statistics": True})
    training.model.eval()
    assert torch.equal(training.model(INPUTS), before)
