"""Evaluation: scores, examples, gradient norms; and that it leaves the model alone."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from midcourse.contract.media import Bars, ConfusionMatrix, Table
from midcourse.contract.names import MediaName, Metric
from trainer.evaluation import evaluate, label_histogram
from trainer.evaluation.examples import COUNT, lowest_loss, misclassified
from trainer.evaluation.scores import score
from trainer.meter import Meter


def one_hot(predicted: list[int], classes: int, sure: float = 0.9) -> np.ndarray:
    rows = np.full((len(predicted), classes), (1 - sure) / (classes - 1))
    rows[np.arange(len(predicted)), predicted] = sure
    return rows


def test_scores_of_a_small_case_by_hand() -> None:
    found = score(np.array([0, 0, 0, 1, 1, 2]), one_hot([0, 0, 1, 1, 1, 0], 3))
    assert found.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.class_recall.tolist() == pytest.approx([2 / 3, 1, 0])
    assert found.class_precision.tolist() == pytest.approx([2 / 3, 2 / 3, 0])
    assert found.precision == pytest.approx(4 / 9)
    assert found.recall == pytest.approx(5 / 9)
    assert found.f1 == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_auroc_is_scikit_learn_s_where_all_classes_occur() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 4
    probabilities = random.dirichlet(np.ones(4), 60)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr")
    assert score(labels, probabilities).auroc == pytest.approx(expected)


def test_a_class_that_does_not_occur_is_left_out_of_the_averages() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = one_hot([0, 0, 1, 2], 3)
    found = score(labels, probabilities)
    areas = [roc_auc_score(labels == label, probabilities[:, label]) for label in (0, 1)]
    assert found.auroc == pytest.approx(np.mean(areas))
    assert found.recall == pytest.approx((1 + 0.5) / 2)
    assert found.precision == 1.0
    assert found.confusion.shape == (3, 3)


@pytest.mark.parametrize("rows", [one_hot([0, 1], 2), np.full((2, 2), np.nan)])
def test_auroc_is_not_made_up_where_it_is_not_defined(rows: np.ndarray) -> None:
    assert score(np.array([1, 1]), rows).auroc is None


def test_examples_are_the_worst_mistakes_and_the_surest_hits() -> None:
    images = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1).expand(30, 1, 8, 8)
    labels = torch.zeros(30, dtype=torch.int64)
    right = torch.linspace(0.02, 0.98, 30, dtype=torch.float64)
    probabilities = torch.stack([right, 1 - right], dim=1)
    wrong = misclassified(images, labels, probabilities, ["cat", "dog"])
    assert wrong.captions[0] == "true cat, predicted dog (p=0.980), loss 3.91"
    assert [int(picture[0, 0, 0]) for picture in wrong.pictures] == list(range(COUNT))
    assert wrong.pictures.shape[1:] == (1, 64, 64)
    best = lowest_loss(images, labels, probabilities, ["cat", "dog"])
    assert [int(picture[0, 0, 0]) for picture in best.pictures] == list(range(29, 29 - COUNT, -1))
    assert best.captions[0] == "true cat, predicted cat (p=0.980), loss 0.0202"


class Recorder(nn.Module):
    """Predicts the first pixel's class, and notes whether it was training."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm2d(1).eval()
        self.modes: set[bool] = set()

    def forward(self, images: Tensor) -> Tensor:
        self.modes.add(self.training)
        scores = nn.functional.one_hot(images[:, 0, 0, 0].long(), 3).float() * 5
        return self.dropout(scores) + self.frozen(images.float()).mean() * 0


def pictures(classes: list[int]) -> Tensor:
    return torch.tensor(classes, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def test_an_evaluation_logs_everything_and_leaves_no_trace() -> None:
    model = Recorder()
    model.frozen.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    found = evaluate(
        model,
        model,
        nn.CrossEntropyLoss(),
        pictures([0, 0, 1, 2, 2, 2]),
        torch.tensor([0, 1, 1, 2, 2, 0]),
        ["a", "b", "c"],
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert model.modes == {False}
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    logged = found.to_log()
    assert logged[Metric.TEST_ACCURACY] == pytest.approx(4 / 6)
    assert logged[Metric.TEST_LOSS] == pytest.approx(found.loss)
    assert {Metric.TEST_PRECISION, Metric.TEST_RECALL, Metric.TEST_F1} <= set(logged)
    assert 0.5 < logged[Metric.TEST_AUROC] < 1
    matrix, bars = logged[MediaName.CONFUSION_MATRIX], logged[MediaName.PER_CLASS_ACCURACY]
    assert isinstance(matrix, ConfusionMatrix)
    assert matrix.counts == [[1, 0, 1], [1, 1, 0], [0, 0, 2]]
    assert isinstance(bars, Bars)
    assert bars.values == [0.5, 0.5, 1.0]
    assert isinstance(logged[MediaName.PER_CLASS_TABLE], Table)
    assert len(logged[MediaName.MISCLASSIFIED].pictures) == 2
    assert len(logged[MediaName.LOWEST_LOSS].pictures) == 6
    assert found.worst_class == ("a", 0.5)


def test_a_class_without_test_pictures_and_no_mistakes() -> None:
    model = Recorder()
    found = evaluate(
        model, model, nn.CrossEntropyLoss(), pictures([0, 1]), torch.tensor([0, 1]), ["a", "b", "c"]
    )
    logged = found.to_log()
    assert MediaName.MISCLASSIFIED not in logged
    assert logged[MediaName.PER_CLASS_ACCURACY].labels == ["a", "b"]
    assert logged[MediaName.PER_CLASS_TABLE].rows[2] == ["c", 0, None, 0.0, None]


def test_a_model_gone_to_nan_is_evaluated_all_the_same() -> None:
    class Gone(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 2), math.nan)

    model = Gone()
    found = evaluate(
        model, model, nn.CrossEntropyLoss(), pictures([0, 1]), torch.tensor([0, 1]), ["a", "b"]
    )
    logged = found.to_log()
    assert math.isnan(logged[Metric.TEST_LOSS])
    assert Metric.TEST_AUROC not in logged
    assert "loss nan" in found.lowest_loss.captions[0]


def test_the_label_histogram_counts_each_class() -> None:
    bars = label_histogram(torch.tensor([1, 1, 0]), ["a", "b", "c"])
    assert (bars.labels, bars.values) == (["a", "b", "c"], [1.0, 2.0, 0.0])


def test_the_meter_goes_on_from_its_state() -> None:
    def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        random = torch.Generator().manual_seed(seed)
        return torch.rand((), generator=random), torch.eye(3)[:2], torch.tensor([0, seed % 3])

    whole, first, second = (Meter(torch.device("cpu")) for _ in range(3))
    for seed in range(4):
        whole.add(*batch(seed))
        (first if seed < 2 else second).add(*batch(seed))
        if seed == 1:
            second.load_state_dict(first.state_dict())
    assert whole.values() == second.values()
    assert whole.values()[Metric.TRAIN_ACCURACY] == 5 / 8
    before = whole.values()[Metric.TRAIN_LOSS]
    whole.reset()
    assert torch.isnan(whole.values()[Metric.TRAIN_LOSS])
    assert not torch.isnan(before), "a logged value is not what is added to"
