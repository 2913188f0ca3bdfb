"""A fork with an edited model: kept by name and shape, and the report tells the truth."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from tracked_model import Training, hash_of, make_model, sgd

from midcourse.errors import CheckpointUnusable
from midcourse.fitting import without_wrapper


def trained(**given: Any) -> tuple[Training, Any]:
    training = Training(**given)
    training.train(4)
    return training, training.saved()


def scheduled(make: Any = torch.optim.lr_scheduler.StepLR, **given: Any) -> Training:
    training = Training(**given)
    options = {"step_size": 2} if make is torch.optim.lr_scheduler.StepLR else {"gamma": 0.9}
    scheduler = make(training.optimizer, **options)
    training.tracked.add({"scheduler": scheduler})
    for _ in range(3):
        training.train(1)
        scheduler.step()
    return training


def state_of(training: Training, weight: Tensor) -> str:
    return hash_of(training.optimizer.state[weight])


def test_with_the_same_model_it_is_a_plain_load() -> None:
    training, saved = trained()
    training.train(3)
    fresh = Training()
    report = fresh.load(saved, warm=True)
    assert report["model"] == {"kept": ["*"], "new": [], "dropped": []}
    assert report["loss"] == "as in the checkpoint"
    fresh.train(3)
    assert fresh.hash() == training.hash()


def test_another_head_is_new_and_the_rest_is_kept_with_its_momentum() -> None:
    training, saved = trained()
    fresh = Training(make_model(classes=5))
    head = hash_of(fresh.model.classifier[1].state_dict())
    report = fresh.load(saved, warm=True)
    assert report["model"] == {
        "kept": ["features"],
        "new": ["classifier"],
        "dropped": ["classifier"],
    }
    assert report["optimizer"] == (
        "state kept of 4 weights, begun anew of 2; param groups as in the checkpoint"
    )
    assert json.loads(json.dumps(report)) == report
    assert hash_of(fresh.model.features.state_dict()) == hash_of(
        training.model.features.state_dict()
    )
    assert hash_of(fresh.model.classifier[1].state_dict()) == head
    for index in (0, 1):
        mine, theirs = fresh.model.features[index].weight, training.model.features[index].weight
        assert state_of(fresh, mine) == state_of(training, theirs)
    assert fresh.model.classifier[1].weight not in fresh.optimizer.state
    assert fresh.step_number == 4
    fresh.train(2)


def test_momentum_goes_by_the_weights_name_not_by_its_number() -> None:
    training, saved = trained()
    model = nn.Sequential()
    model.add_module("before", nn.Linear(6, 6))
    for name, child in make_model().named_children():
        model.add_module(name, child)
    fresh = Training(model)
    report = fresh.load(saved, warm=True)
    assert report["model"]["new"] == ["before"]
    mine, theirs = fresh.model.classifier[1].weight, training.model.classifier[1].weight
    assert torch.equal(mine, theirs)
    assert state_of(fresh, mine) == state_of(training, theirs)
    assert fresh.model.before.weight not in fresh.optimizer.state
    fresh.train(2)


def test_what_the_edited_model_lacks_is_dropped_by_name() -> None:
    _, saved = trained()
    model: Any = make_model()
    del model.features[1]
    report = Training(model).load(saved, warm=True)
    assert report["model"]["dropped"] == ["features.1"]
    assert report["model"]["kept"] == ["classifier", "features.0"]


def test_another_type_of_number_is_converted_and_said() -> None:
    training, saved = trained()
    fresh = Training(make_model().double())
    report = fresh.load(saved, warm=True)
    assert report["model"]["kept"] == ["*"]
    assert report["model"]["converted"] == [
        "classifier",
        "features.0",
        "features.1.bias",
        "features.1.running_mean",
        "features.1.running_var",
        "features.1.weight",
    ]
    mine, theirs = fresh.model.features[0].weight, training.model.features[0].weight
    assert torch.equal(mine, theirs.double())
    momentum = fresh.optimizer.state[mine]["momentum_buffer"]
    assert momentum.dtype == torch.float64
    assert torch.equal(momentum, training.optimizer.state[theirs]["momentum_buffer"].double())


def test_nothing_in_common_is_refused() -> None:
    _, saved = trained()
    with pytest.raises(CheckpointUnusable, match="nothing of the checkpoint's model agrees"):
        Training(nn.Linear(6, 3)).load(saved, warm=True)


def test_rates_that_were_changed_live_are_carried() -> None:
    training = Training()
    training.set({"optimizer.lr": 0.025, "optimizer.momentum": 0.5})
    fresh = Training(make_model(classes=5))
    fresh.load(training.saved(), warm=True)
    assert fresh.values()["optimizer.lr"] == 0.025
    assert fresh.values()["optimizer.momentum"] == 0.5


def test_other_param_groups_keep_the_programs_rates_and_the_kept_momentum() -> None:
    def in_groups(weights: Any) -> torch.optim.Optimizer:
        first, *others = weights
        return torch.optim.SGD(
            [{"params": [first], "lr": 0.5}, {"params": others}], lr=0.1, momentum=0.9
        )

    training, saved = trained()
    fresh = Training(make_model(classes=5), in_groups)
    report = fresh.load(saved, warm=True)
    assert report["optimizer"].endswith(
        "param groups the program's own, since the checkpoint has 1 param groups and the program 2"
    )
    assert [group["lr"] for group in fresh.optimizer.param_groups] == [0.5, 0.1]
    mine, theirs = fresh.model.features[0].weight, training.model.features[0].weight
    assert state_of(fresh, mine) == state_of(training, theirs)
    fresh.train(1)


def test_another_optimizer_begins_anew() -> None:
    _, saved = trained()
    fresh = Training(make_model(classes=5), lambda weights: torch.optim.Adam(weights, lr=0.01))
    report = fresh.load(saved, warm=True)
    assert report["optimizer"] == "as the program made it: the checkpoint's is a SGD"
    assert not fresh.optimizer.state
    fresh.train(1)


def test_an_optimizer_that_was_swapped_live_is_the_one_of_the_checkpoint() -> None:
    training = Training()
    training.train(1)
    training.set({"optimizer.name": "adam"})
    training.train(2)
    fresh = Training(make_model(classes=5))
    fresh.load(training.saved(), warm=True)
    assert type(fresh.optimizer) is torch.optim.Adam
    mine, theirs = fresh.model.features[0].weight, training.model.features[0].weight
    assert state_of(fresh, mine) == state_of(training, theirs)
    fresh.train(1)


def test_an_optimizer_that_makes_its_states_when_made_keeps_them_for_new_weights() -> None:
    _, saved = trained(make_optimizer=torch.optim.Adagrad)
    fresh = Training(make_model(classes=5), torch.optim.Adagrad)
    fresh.load(saved, warm=True)
    states = fresh.optimizer.state
    assert states[fresh.model.classifier[1].weight]["sum"].eq(0).all()
    assert not states[fresh.model.features[0].weight]["sum"].eq(0).any()
    fresh.train(1)


def test_the_schedule_goes_on() -> None:
    training = scheduled()
    fresh = Training(make_model(classes=5))
    schedule = torch.optim.lr_scheduler.StepLR(fresh.optimizer, 2)
    fresh.tracked.add({"scheduler": schedule})
    report = fresh.load(training.saved(), warm=True)
    assert report["scheduler"] == "as in the checkpoint"
    assert schedule.last_epoch == 3
    assert fresh.optimizer.param_groups[0]["lr"] == training.optimizer.param_groups[0]["lr"]


def test_another_schedule_begins_anew_from_the_programs_own_rate() -> None:
    saved = scheduled().saved()
    fresh = Training(make_model(classes=5))
    schedule = torch.optim.lr_scheduler.ExponentialLR(fresh.optimizer, 0.9)
    fresh.tracked.add({"scheduler": schedule})
    report = fresh.load(saved, warm=True)
    assert report["scheduler"].startswith("as the program made it: the checkpoint's scheduler is")
    assert (schedule.last_epoch, fresh.optimizer.param_groups[0]["lr"]) == (0, 0.1)
    assert "state kept of 4 weights" in report["optimizer"]


def test_a_schedule_that_the_program_no_longer_has_leaves_no_half_decayed_rate() -> None:
    saved = scheduled().saved()
    fresh = Training(make_model(classes=5))
    report = fresh.load(saved, warm=True)
    assert fresh.optimizer.param_groups[0]["lr"] == 0.1
    assert report["scheduler"] == "dropped: the program tracks none"


def test_a_loss_with_weights_for_other_classes_stays_the_programs() -> None:
    _, saved = trained(loss=nn.CrossEntropyLoss(torch.ones(3), label_smoothing=0.2))
    loss = nn.CrossEntropyLoss(torch.full((5,), 2.0))
    fresh = Training(make_model(classes=5), loss=loss)
    report = fresh.load(saved, warm=True)
    assert report["loss"] == (
        "as the program made it: its weight has the shape (5,), the checkpoint's (3,)"
    )
    assert torch.equal(loss.weight, torch.full((5,), 2.0))
    assert loss.label_smoothing == 0.0
    fresh.train(1)


def test_a_loss_that_was_swapped_live_is_kept() -> None:
    training = Training()
    training.train(1)
    training.set({"loss.name": "huber", "loss.delta": 0.5})
    fresh = Training(make_model(classes=5))
    report = fresh.load(training.saved(), warm=True)
    assert report["loss"] == "as in the checkpoint"
    assert fresh.values()["loss.name"] == "huber"
    assert fresh.values()["loss.delta"] == 0.5
    fresh.train(1)


def test_a_loss_of_other_targets_stays_the_programs() -> None:
    _, saved = trained()
    fresh = Training(make_model(classes=5), loss=nn.MSELoss())
    report = fresh.load(saved, warm=True)
    assert report["loss"].startswith(
        "as the program made it: the checkpoint's loss is cross_entropy"
    )
    assert type(fresh.loss) is nn.MSELoss


def test_what_was_frozen_is_frozen_but_not_what_is_new() -> None:
    training = Training()
    training.set({"model.frozen": ["features"], "model.dropout": {"features": 0.4}})
    model: Any = make_model()
    model.features[1] = nn.BatchNorm1d(8, affine=True)
    model.features[0] = nn.Linear(6, 8, bias=False)
    model.features.add_module("more", nn.Linear(8, 8))
    fresh = Training(model)
    fresh.load(training.saved(), warm=True)
    assert fresh.values()["model.frozen"] == ["features.0", "features.1"]
    assert fresh.values()["model.dropout"] == {"features.3": 0.4, "classifier.0": 0.2}

    reshaped: Any = make_model()
    reshaped.features[0] = nn.Linear(6, 8, bias=False)
    reshaped.features[1] = nn.BatchNorm1d(8)
    reshaped.features[0].weight = nn.Parameter(torch.zeros(8, 7))
    other = Training(reshaped)
    other.load(training.saved(), warm=True)
    assert other.values()["model.frozen"] == ["features.1"]


class Counter:
    """A tracked object of the program's own."""

    def __init__(self, length: int) -> None:
        self.counts = torch.zeros(length)

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts = state["counts"]


@pytest.mark.parametrize(("length", "expected"), [(3, [7.0, 7.0, 7.0]), (5, [0.0] * 5)])
def test_other_objects_are_loaded_where_they_fit(length: int, expected: list[float]) -> None:
    counter = Counter(3)
    training = Training(counter=counter)
    counter.counts += 7
    mine = Counter(length)
    fresh = Training(make_model(classes=5), counter=mine, spare=Counter(1))
    report = fresh.load(training.saved(), warm=True)
    assert mine.counts.tolist() == expected
    assert report["spare"] == "as the program made it: the checkpoint has none"


def test_between_a_compiled_and_a_plain_model_nothing_is_lost() -> None:
    compiled: Any = torch.compile(make_model(), backend="eager")
    training, saved = trained(model=compiled)
    fresh = Training()
    report = fresh.load(saved, warm=True)
    assert report["model"] == {"kept": ["*"], "new": [], "dropped": []}
    mine, theirs = fresh.model.features[0].weight, compiled._orig_mod.features[0].weight
    assert state_of(fresh, mine) == state_of(training, theirs)


def test_a_real_module_of_a_wrappers_name_keeps_it() -> None:
    assert without_wrapper({"module.a": 1}, {"module.a": 2}) == {"module.a": 1}
    assert without_wrapper({"module.a": 1}, {"a": 2}) == {"a": 1}
    assert without_wrapper({"module._orig_mod.a": 1}, {"a": 2}) == {"a": 1}


def test_a_plain_load_of_an_edited_model_names_what_does_not_fit() -> None:
    _, saved = trained()
    with pytest.raises(CheckpointUnusable, match="model does not fit the program's"):
        Training(make_model(classes=5)).load(saved)


def test_weights_that_are_tied_keep_one_state() -> None:
    def tied(twice: bool) -> nn.Module:
        model: Any = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
        if twice:
            model[1].weight = model[0].weight
        return model  # type: ignore[no-any-return]

    training, saved = trained(model=tied(twice=True))
    fresh = Training(tied(twice=True), sgd)
    report = fresh.load(saved, warm=True)
    assert report["model"]["kept"] == ["*"]
    training.train(1)
    fresh.train(1)
    assert fresh.weights() == training.weights()
