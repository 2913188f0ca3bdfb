"""Models, losses, augmentations and schedulers: what they make of pictures and numbers."""

import pytest
import torch
from torch import nn

from midcourse.catalogue.schedulers import advance, advance_by_loss, make_scheduler
from trainer.tasks import AUGMENTATIONS, LOSSES, MODELS, SCHEDULERS
from trainer.tasks.torchvision_models import Enlarged


def test_the_cnn_is_two_convolutions_dropout_and_one_dense_layer() -> None:
    cnn = MODELS.make("cnn", (1, 28, 28), 10, dropout=0.5)
    convolutions = [layer for layer in cnn.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 64]
    assert [layer.p for layer in cnn.modules() if isinstance(layer, nn.Dropout)] == [0.5]
    assert len([layer for layer in cnn.modules() if isinstance(layer, nn.Linear)]) == 1
    with pytest.raises(ValueError, match="at least 4x4 pixels, not 3x8"):
        MODELS.make("cnn", (1, 3, 8), 10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)])
@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_bundled_models_take_any_shape(name: str, shape: tuple[int, int, int]) -> None:
    assert MODELS.make(name, shape, 4)(torch.zeros(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("resnet18", (1, 8, 8), (32, 32)),
        ("resnet18", (5, 40, 48), None),
        ("squeezenet1_1", (3, 32, 32), None),
        ("alexnet", (1, 28, 28), (64, 64)),
        ("googlenet", (3, 32, 32), None),
        ("vit_b_32", (1, 28, 28), (32, 32)),
        ("mobilenet_v3_small", (2, 16, 16), (32, 32)),
    ],
)
def test_torchvision_models_are_adapted(
    name: str, shape: tuple[int, int, int], size: tuple[int, int] | None
) -> None:
    model = MODELS.make(name, shape, 7)
    assert (model.size if isinstance(model, Enlarged) else None) == size
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_torchvision_model_may_be_told_the_size() -> None:
    model = MODELS.make("resnet18", (1, 8, 8), 2, resize=48)
    assert isinstance(model, Enlarged)
    assert model.size == (48, 48)
    with pytest.raises(ValueError, match="cannot take these pictures at 40x40"):
        MODELS.make("vit_b_32", (1, 8, 8), 2, resize=40)


def test_the_same_seed_makes_the_same_weights() -> None:
    def weights() -> torch.Tensor:
        torch.manual_seed(3)
        model = MODELS.make("alexnet", (1, 28, 28), 2)
        return torch.cat([weight.flatten() for weight in model.parameters()])

    assert torch.equal(weights(), weights())


@pytest.mark.parametrize("name", LOSSES.names())
def test_a_loss_is_smaller_for_the_right_class(name: str) -> None:
    loss = LOSSES.make(name)
    labels = torch.tensor([0, 2])
    right = nn.functional.one_hot(labels, 3).float()
    assert loss(right, labels).ndim == 0
    assert loss(right, labels) < loss(right.roll(1, dims=1), labels)


def test_label_smoothing_can_be_steered() -> None:
    assert LOSSES.make("cross_entropy", label_smoothing=0.1).label_smoothing == 0.1
    weighted = LOSSES.make("cross_entropy", weight=[1.0, 0.0])
    assert weighted(torch.zeros(2, 2), torch.tensor([0, 1])).item() == pytest.approx(0.6931, 1e-3)


def test_shift_moves_whole_pictures_and_black_moves_in() -> None:
    torch.manual_seed(0)
    images = torch.zeros(200, 2, 5, 4, dtype=torch.uint8)
    images[:, 0, 2, 2], images[:, 1, 2, 2] = 7, 9
    moved = AUGMENTATIONS.make("shift", pixels=1)(images)
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    assert (moved.flatten(2).sum(-1) == torch.tensor([7, 9])).all()
    places = {tuple(picture[0].nonzero()[0].tolist()) for picture in moved}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert torch.equal(moved[:, 0] * 9, moved[:, 1] * 7)


def test_flip_mirrors_about_half() -> None:
    torch.manual_seed(0)
    images = torch.arange(4, dtype=torch.uint8).expand(400, 1, 3, 4)
    flipped = AUGMENTATIONS.make("flip", on=True)(images)
    mirrored = (flipped[:, 0, 0, 0] == 3).sum().item()
    assert 150 < mirrored < 250
    assert torch.equal(flipped.sort(dim=-1).values, images)


def test_augmentations_can_be_off_and_repeat_with_the_random_state() -> None:
    images = torch.randint(0, 256, (8, 1, 6, 6), dtype=torch.uint8)
    state = torch.get_rng_state()
    for off in (AUGMENTATIONS.make("flip"), AUGMENTATIONS.make("shift")):
        assert torch.equal(off(images), images)
    assert torch.equal(torch.get_rng_state(), state), "off, they draw nothing"
    for on in (AUGMENTATIONS.make("flip", on=True), AUGMENTATIONS.make("shift", pixels=2)):
        torch.set_rng_state(state)
        first = on(images)
        torch.set_rng_state(state)
        assert torch.equal(on(images), first)


NEEDED = {
    "step_lr": {"step_size": 2},
    "multi_step_lr": {"milestones": [2, 4]},
    "exponential_lr": {"gamma": 0.9},
    "one_cycle_lr": {"max_lr": 0.2},
    "cyclic_lr": {"base_lr": 0.01, "max_lr": 0.2},
    "cosine_annealing_warm_restarts": {"T_0": 3},
}


@pytest.mark.parametrize("name", [name for name in SCHEDULERS.names() if name != "constant"])
def test_a_schedule_can_be_stepped_beyond_its_end(name: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = make_scheduler(name, optimizer, length=6, **NEEDED.get(name, {}))
    rates = []
    for _ in range(9):
        optimizer.step()
        if name == "reduce_lr_on_plateau":
            advance_by_loss(scheduler, 1.0)
        else:
            advance(scheduler)
            advance_by_loss(scheduler, 1.0)  # nothing to this one
        rates.append(optimizer.param_groups[0]["lr"])
    assert all(0 <= rate <= 0.2 for rate in rates)
    if name == "one_cycle_lr":
        assert rates[5:] == [rates[4]] * 4
    if name == "cosine_annealing_lr":
        assert rates[5] == pytest.approx(0)


def test_constant_leaves_the_rate_as_it_is_set() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make_scheduler("constant", optimizer, length=5)
    for rate in (0.1, 0.3):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        advance(scheduler)
        advance_by_loss(scheduler, 1.0)
        assert optimizer.param_groups[0]["lr"] == rate


def test_plateau_lowers_the_rate_when_the_test_loss_stays() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make_scheduler("reduce_lr_on_plateau", optimizer, length=5, patience=1)
    for _ in range(3):
        advance_by_loss(scheduler, 1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_hidden_layer_leaves_the_convolutions_as_they_were() -> None:
    plain, deeper = (MODELS.make("cnn", (1, 8, 8), 10, hidden=hidden) for hidden in (0, 16))
    before = {name: weight.shape for name, weight in plain.named_parameters()}
    after = {name: weight.shape for name, weight in deeper.named_parameters()}
    assert [name for name in before if after[name] == before[name]] == [
        "0.weight",
        "0.bias",
        "3.weight",
        "3.bias",
    ]
    assert deeper(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
