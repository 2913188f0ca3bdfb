"""`loss.name` and its options: swapped in place, read back, and remembered by checkpoints."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from tracked_model import LABELS, Training

from midcourse.catalogue.losses import LOSSES, OF_CLASSES
from midcourse.catalogue.registry import Registry
from midcourse.contract.errors import InvalidInput
from midcourse.errors import CheckpointUnusable
from midcourse.tracked import Tracked

LOGITS = torch.randn(16, 3, generator=torch.Generator().manual_seed(2))
CLASSES = LABELS[:16]
ONE_HOT = functional.one_hot(CLASSES, 3).float()
WEIGHT = [1.0, 2.0, 0.5]

MEANING: list[tuple[dict[str, Any], Any]] = [
    (
        {"loss.name": "cross_entropy", "loss.label_smoothing": 0.1, "loss.weight": WEIGHT},
        lambda: functional.cross_entropy(
            LOGITS, CLASSES, label_smoothing=0.1, weight=torch.tensor(WEIGHT)
        ),
    ),
    (
        {"loss.name": "multi_margin", "loss.p": 2, "loss.margin": 0.5, "loss.weight": WEIGHT},
        lambda: functional.multi_margin_loss(
            LOGITS, CLASSES, p=2, margin=0.5, weight=torch.tensor(WEIGHT)
        ),
    ),
    (
        {"loss.name": "bce_with_logits"},
        lambda: functional.binary_cross_entropy_with_logits(LOGITS, ONE_HOT),
    ),
    ({"loss.name": "mse"}, lambda: functional.mse_loss(LOGITS, ONE_HOT)),
    ({"loss.name": "l1"}, lambda: functional.l1_loss(LOGITS, ONE_HOT)),
    (
        {"loss.name": "smooth_l1", "loss.beta": 0.3},
        lambda: functional.smooth_l1_loss(LOGITS, ONE_HOT, beta=0.3),
    ),
    (
        {"loss.name": "huber", "loss.delta": 0.3},
        lambda: functional.huber_loss(LOGITS, ONE_HOT, delta=0.3),
    ),
]


@pytest.mark.parametrize(("changes", "meaning"), MEANING)
def test_the_programs_own_variable_is_the_new_loss(changes: dict[str, Any], meaning: Any) -> None:
    training = Training()
    loss_function = training.loss
    training.train(2)
    after = training.set(changes).after
    assert {name: after[name] for name in changes} == changes
    assert torch.equal(loss_function(LOGITS, CLASSES), meaning())
    training.train(2)


def test_every_loss_of_classes_has_its_meaning_tested() -> None:
    assert {changes["loss.name"] for changes, _ in MEANING} == set(OF_CLASSES.names())


@pytest.mark.parametrize("targets", LOSSES)
def test_a_program_can_begin_with_any_loss_and_swap_it_for_any_like_it(targets: str) -> None:
    registry = LOSSES[targets]
    for first in registry.names():
        for second in registry.names():
            tracked = Tracked()
            tracked.add({"loss": registry.make(first)})
            parameters = tracked.parameters
            assert parameters.values()["loss.name"] == first
            applied = parameters.apply(parameters.check({"loss.name": second}))
            assert applied.after["loss.name"] == second


def test_options_that_both_have_stay_and_others_are_null() -> None:
    training = Training(loss=nn.CrossEntropyLoss(torch.tensor(WEIGHT), label_smoothing=0.2))
    training.set({"loss.name": "multi_margin"})
    values = training.values()
    assert values["loss.weight"] == WEIGHT
    assert values["loss.label_smoothing"] is None
    assert [values["loss.p"], values["loss.margin"]] == [1, 1.0]


def test_an_option_alone_changes_nothing_else() -> None:
    loss = nn.CrossEntropyLoss(ignore_index=2, reduction="sum", weight=torch.tensor(WEIGHT))
    training = Training(loss=loss)
    weight = loss.weight
    training.set({"loss.label_smoothing": 0.1})
    assert [loss.label_smoothing, loss.ignore_index, loss.reduction] == [0.1, 2, "sum"]
    assert loss.weight is weight
    training.set({"loss.weight": None})
    assert loss.weight is None
    assert loss.state_dict() == {}


def test_a_swap_keeps_reduction_hooks_and_mode() -> None:
    loss = nn.CrossEntropyLoss(reduction="sum").eval()
    seen = []
    loss.register_forward_hook(lambda *_: seen.append(1))
    Training(loss=loss).set({"loss.name": "mse"})
    assert torch.equal(loss(LOGITS, CLASSES), functional.mse_loss(LOGITS, ONE_HOT, reduction="sum"))
    assert seen
    assert not loss.training


def test_weights_have_the_models_type_and_follow_those_that_are_there() -> None:
    training = Training()
    training.model.double()
    training.set({"loss.weight": [0.1, 0.2, 0.3]})
    assert training.loss.weight.dtype == torch.float64
    assert training.values()["loss.weight"] == [0.1, 0.2, 0.3]


REFUSED = [
    ({"loss.name": "mze"}, "loss.name: must be one of bce_with_logits, cross_entropy, huber"),
    ({"loss.name": 3}, "loss.name: must be a string"),
    ({"loss.delta": 1.0}, "loss.delta: is not an option of cross_entropy; it has: label_smoothing"),
    ({"loss.name": "mse", "loss.delta": 1.0}, "is not an option of mse; it has none"),
    ({"loss.name": "huber", "loss.delta": 0.0}, "loss.delta: must be a number above 0"),
    ({"loss.name": "multi_margin", "loss.p": 3}, "loss.p: must be a whole number at least 1"),
    ({"loss.weight": [1.0, 2.0]}, "weight tensor should be defined either for all 3 classes"),
    ({"loss.weight": [1.0, -2.0, 1.0]}, "must be a list of numbers, each at least 0, or null"),
    ({"loss.weight": [1.0, True, 1.0]}, "loss.weight: must be a list of numbers"),
    ({"loss.label_smoothing": 1.5}, "at least 0 and at most 1"),
    ({"loss.label_smoothing": None}, "must be a number"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_refused_leaves_everything_as_it_was(changes: dict[str, Any], message: str) -> None:
    training = Training()
    training.train(2)
    before = training.hash()
    with pytest.raises(InvalidInput, match=message):
        training.set({"optimizer.lr": 0.5, **changes})
    assert training.hash() == before
    assert type(training.loss) is nn.CrossEntropyLoss


def test_a_loss_that_cannot_take_the_programs_targets_is_refused() -> None:
    """Class probabilities: cross entropy takes them, a hinge loss does not."""
    tracked, loss = Tracked(), nn.CrossEntropyLoss()
    tracked.add({"loss": loss})
    parameters = tracked.parameters
    parameters.check({"loss.name": "multi_margin"})  # nothing is known before the first call
    loss(LOGITS, ONE_HOT)
    with pytest.raises(InvalidInput, match=r"loss.name: cannot take what this program gives"):
        parameters.check({"loss.name": "multi_margin"})


def test_what_is_passed_over_is_not_taken_for_a_class() -> None:
    training = Training(loss=nn.CrossEntropyLoss(ignore_index=255))
    with pytest.raises(InvalidInput, match="passes over targets of 255"):
        training.set({"loss.name": "mse"})
    training.set({"loss.name": "cross_entropy", "loss.label_smoothing": 0.1})
    assert training.loss.ignore_index == 255


def test_listening_costs_nothing_after_the_first_call() -> None:
    training = Training()
    training.train(1)
    assert not training.loss._forward_pre_hooks


def test_a_failure_after_the_swap_gives_the_old_loss_back() -> None:
    training = Training(loss=nn.CrossEntropyLoss(torch.tensor(WEIGHT), ignore_index=2))
    training.train(2)
    before, weight = training.hash(), training.loss.weight
    parameters = training.tracked.parameters
    tried = parameters.try_out(
        parameters.check({"loss.label_smoothing": 0.1, "loss.weight": None, "optimizer.lr": 1.0})
    )
    assert tried.after["loss.weight"] is None
    assert training.hash() == before
    assert training.loss.weight is weight
    assert (training.loss.label_smoothing, training.loss.ignore_index) == (0.0, 2)


@pytest.mark.parametrize(("changes", "meaning"), MEANING)
def test_a_new_process_has_the_loss_of_the_checkpoint(
    changes: dict[str, Any], meaning: Any
) -> None:
    training = Training()
    training.train(2)
    training.set(changes)
    training.train(2)
    saved = training.saved()
    training.train(2)

    fresh = Training(loss=nn.CrossEntropyLoss(label_smoothing=0.7))
    fresh.load(saved)
    assert torch.equal(fresh.loss(LOGITS, CLASSES), meaning())
    fresh.train(2)
    assert fresh.hash() == training.hash()


def test_going_back_gives_the_loss_of_then() -> None:
    training = Training()
    training.train(2)
    saved = training.saved()
    training.train(2)
    never_changed = training.hash()
    training.load(saved)
    training.set({"loss.name": "huber", "loss.delta": 0.1})
    training.train(3)
    training.load(saved)
    assert type(training.loss) is nn.CrossEntropyLoss
    training.train(2)
    assert training.hash() == never_changed


def test_a_checkpoint_of_other_targets_does_not_fit() -> None:
    tracked, other = Tracked(), Tracked()
    tracked.add({"loss": nn.CrossEntropyLoss()})
    other.add({"loss": nn.MSELoss()})
    with pytest.raises(CheckpointUnusable, match="loss is cross_entropy of classes, the program's"):
        other.load(tracked.state(0))


class Own(nn.Module):
    """A loss of the program's own class."""

    def __init__(self) -> None:
        super().__init__()
        self.label_smoothing = 0.1

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


def test_an_unknown_class_has_only_what_attributes_it_has() -> None:
    training = Training(loss=Own())
    mine = {name: value for name, value in training.values().items() if "loss" in name}
    assert mine == {"loss.label_smoothing": 0.1}
    training.set({"loss.label_smoothing": 0.3})
    assert training.loss.label_smoothing == 0.3
    fresh = Training(loss=Own())
    fresh.load(training.saved())
    assert fresh.loss.label_smoothing == 0.3


@pytest.mark.parametrize("loss", [functional.cross_entropy, nn.CTCLoss(), nn.Linear(2, 1)])
def test_functions_and_losses_without_equals_declare_nothing(loss: Any) -> None:
    tracked = Tracked()
    tracked.add({"loss": loss})
    assert tracked.parameters.values() == {}


def test_a_state_of_a_known_loss_does_not_end_in_an_attribute() -> None:
    known, own = Tracked(), Tracked()
    known.add({"loss": nn.CrossEntropyLoss()})
    own.add({"loss": Own()})
    with pytest.raises(CheckpointUnusable, match="the program's is of a class of its own"):
        own.load(known.state(0))


class Focal(nn.Module):
    """Lin et al. 2017, equation 4; what it derives from its option must follow it."""

    def __init__(self, *, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.half = gamma / 2

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        chosen = logits.log_softmax(1).gather(1, labels[:, None])
        return -((1 - chosen.exp()) ** (2 * self.half) * chosen).mean()


def test_a_registry_of_ones_own_comes_first() -> None:
    mine: Registry[nn.Module] = Registry("loss", given=0)
    mine.register("focal")(Focal)
    mine.register("cross_entropy", of=nn.CrossEntropyLoss)(lambda: nn.CrossEntropyLoss())
    tracked, loss = Tracked(), nn.CrossEntropyLoss()
    tracked.add({"loss": loss}, {"loss": mine})
    parameters = tracked.parameters
    parameters.apply(parameters.check({"loss.name": "focal"}))
    parameters.apply(parameters.check({"loss.gamma": 0.0}))
    assert torch.allclose(loss(LOGITS, CLASSES), functional.cross_entropy(LOGITS, CLASSES))


def test_a_swap_changes_the_steps_to_come_and_nothing_before() -> None:
    training, other = Training(), Training()
    for one in (training, other):
        torch.manual_seed(3)
        one.train(2)
    training.set({"loss.name": "mse"})
    assert training.weights() == other.weights()
    for one in (training, other):
        torch.manual_seed(4)
        one.train(1)
    assert training.weights() != other.weights()
