"""Building: what the configuration asks for is made and tried before a run begins."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from midcourse.contract.errors import InvalidInput
from trainer.build import Task, build, leaves_one_over
from trainer.configure import configure
from trainer.precision import HALVES
from trainer.tasks import MODELS

FAKE = {"name": "fake", "train_size": 33, "test_size": 8, "image_size": 8, "batch_size": 16}


def make(folder: Path, **sections: Any) -> Task:
    raw = {"data": FAKE, "train": {"device": "cpu"}} | sections
    return build(configure(raw), folder)


@pytest.fixture(autouse=True)
def _as_before() -> Any:
    yield
    torch.use_deterministic_algorithms(False)


def test_the_same_seed_builds_the_same_weights(tmp_path: Path) -> None:
    def weights(seed: int) -> torch.Tensor:
        return next(make(tmp_path, seed=seed).model.parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_trying_the_model_leaves_it_ready_to_train(tmp_path: Path) -> None:
    task = make(tmp_path, model={"name": "resnet18"})
    assert task.model.training
    assert all(
        int(layer.num_batches_tracked) == 0
        for layer in task.model.modules()
        if isinstance(layer, nn.BatchNorm2d)
    )
    assert all(weight.grad is None for weight in task.model.parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_computes_in_it_and_keeps_weights_in_float32(
    precision: str, tmp_path: Path
) -> None:
    task = make(tmp_path, train={"device": "cpu", "precision": precision})
    images = task.dataset.test_images
    task.model.eval()
    exact, rounded = task.predict(images, "fp32"), task.predict(images, precision)
    assert exact.dtype == rounded.dtype == torch.float32
    assert next(task.model.parameters()).dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.equal(rounded, rounded.to(HALVES[precision]).float())
    torch.testing.assert_close(exact, rounded, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(("deterministic", "expected"), [(True, True), (False, False)])
def test_deterministic_is_torch_s_switch(
    tmp_path: Path, deterministic: bool, expected: bool
) -> None:
    make(tmp_path, train={"device": "cpu", "deterministic": deterministic})
    assert torch.are_deterministic_algorithms_enabled() is expected


@pytest.mark.parametrize(
    ("every", "total"), [("1 step", 2 * 2), ("1 epoch", 2), ("2 steps", 2), ("9 epochs", 1)]
)
def test_a_schedule_without_length_is_as_long_as_the_training(
    tmp_path: Path, every: str, total: int
) -> None:
    # 33 pictures in batches of 16 leave one over, which is not trained on: 2 steps an epoch.
    task = make(
        tmp_path,
        scheduler={"name": "one_cycle_lr", "max_lr": 0.1, "step_every": every},
        train={"device": "cpu", "epochs": 2},
    )
    assert isinstance(task.scheduler, torch.optim.lr_scheduler.OneCycleLR)
    assert task.scheduler.total_steps == total


def test_one_picture_left_over() -> None:
    assert leaves_one_over(33, 16)
    assert not leaves_one_over(32, 16)
    assert not leaves_one_over(34, 16)
    assert not leaves_one_over(1, 16)
    assert not leaves_one_over(5, 1)


@pytest.mark.parametrize(
    ("sections", "path", "message"),
    [
        ({"data": {"name": "folder", "path": "no/such"}}, "data", "no folder 'no/such'"),
        ({"data": FAKE | {"image_size": 3}}, "model", "at least 4x4 pixels"),
        ({"loss": {"name": "cross_entropy", "weight": [1.0]}}, "loss", "weight"),
        (
            {"optimizer": {"name": "sgd", "momentum": 0.0, "nesterov": True}},
            "optimizer",
            "Nesterov momentum requires a momentum",
        ),
        ({"optimizer": {"name": "adam", "betas": [1.5, 0.9]}}, "optimizer", "beta"),
        ({"scheduler": {"name": "step_lr", "step_size": 0}}, "scheduler", "zero"),
        ({"scheduler": {"name": "cosine_annealing_lr", "T_max": 0}}, "scheduler", "zero"),
        (
            {
                "optimizer": {"name": "adagrad"},
                "scheduler": {"name": "one_cycle_lr", "max_lr": 0.1},
            },
            "scheduler",
            "momentum",
        ),
    ],
)
def test_what_cannot_be_made_is_a_fault_of_its_section(
    tmp_path: Path, sections: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(tmp_path, **sections)
    (fault,) = caught.value.faults
    assert fault.path == path
    assert message in fault.message


def test_an_operation_that_is_not_deterministic_is_found_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(nn.Module):
        def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(classes))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            images.clone().put_(torch.tensor([0, 0]), torch.ones(2))
            return self.weight.expand(len(images), -1)

    for known in ("_entries", "_aliases"):
        monkeypatch.setattr(MODELS, known, dict(getattr(MODELS, known)))
    MODELS.register("careless")(Careless)
    with pytest.raises(InvalidInput, match=r"train\.deterministic: put_ .* choose another model"):
        make(tmp_path, model={"name": "careless"})
    make(tmp_path, model={"name": "careless"}, train={"device": "cpu", "deterministic": False})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert make(tmp_path, train={"device": "auto"}).device.type == "cpu"
    with pytest.raises(InvalidInput, match=r"train\.device: is cuda:1, .* no GPU"):
        make(tmp_path, train={"device": "cuda:1"})
