"""One evaluation on the test pictures, as numbers and as things to log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import midcourse
from midcourse.contract.media import Bars, ConfusionMatrix, Table
from midcourse.contract.names import MediaName, Metric
from trainer.evaluation.examples import Examples, lowest_loss, misclassified
from trainer.evaluation.scores import Scores, score

BATCH_SIZE = 1000


@dataclass(frozen=True)
class Evaluation:
    """What came of it."""

    loss: float
    """The run's own loss over all test pictures."""
    scores: Scores
    misclassified: Examples
    lowest_loss: Examples
    classes: tuple[str, ...]

    @property
    def worst_class(self) -> tuple[str, float]:
        """The class that is found least often, and how often, among those that occur."""
        recalls = self.scores.class_recall.tolist()
        occurring = [label for label, count in enumerate(self.scores.support) if count]
        worst = min(occurring, key=lambda label: recalls[label])
        return self.classes[worst], recalls[worst]

    def in_words(self) -> str:
        """Loss and accuracy, for a person."""
        return f"test loss {self.loss:.4f}, test accuracy {self.scores.accuracy:.4f}"

    def to_log(self) -> dict[str, Any]:
        """Metrics and media by name."""
        scores = self.scores
        occurring = [label for label, count in enumerate(scores.support) if count]
        values: dict[str, Any] = {
            Metric.TEST_LOSS: self.loss,
            Metric.TEST_ACCURACY: scores.accuracy,
            Metric.TEST_PRECISION: scores.precision,
            Metric.TEST_RECALL: scores.recall,
            Metric.TEST_F1: scores.f1,
            MediaName.CONFUSION_MATRIX: ConfusionMatrix(
                labels=list(self.classes), counts=scores.confusion.tolist()
            ),
            MediaName.PER_CLASS_ACCURACY: Bars(
                labels=[self.classes[label] for label in occurring],
                values=scores.class_recall[occurring].tolist(),
                value_title="accuracy",
            ),
            MediaName.PER_CLASS_TABLE: self._table(),
            MediaName.LOWEST_LOSS: _images(self.lowest_loss),
        }
        if scores.auroc is not None:
            values[Metric.TEST_AUROC] = scores.auroc
        if self.misclassified.captions:
            values[MediaName.MISCLASSIFIED] = _images(self.misclassified)
        return values

    def _table(self) -> Table:
        """One row a class; what a class that does not occur would need is null."""
        scores = self.scores
        rows: list[list[Any]] = [
            [
                name,
                count,
                recall if count else None,
                precision,
                f1 if count else None,
            ]
            for name, count, recall, precision, f1 in zip(
                self.classes,
                scores.support.tolist(),
                scores.class_recall.tolist(),
                scores.class_precision.tolist(),
                scores.class_f1.tolist(),
                strict=True,
            )
        ]
        return Table(columns=["class", "pictures", "accuracy", "precision", "f1"], rows=rows)


def evaluate(
    predict: Callable[[Tensor], Tensor],
    model: nn.Module,
    loss: nn.Module,
    images: Tensor,
    labels: Tensor,
    classes: Sequence[str],
) -> Evaluation:
    """Try a model on test pictures. It is in evaluation mode meanwhile, and as before afterwards.

    Args:
        predict: from uint8 pictures [n, C, H, W], which may lie elsewhere than the model, to
            logits [n, K].
        model: whose mode is switched.
        loss: of logits and labels.
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        classes: K names.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            logits = torch.cat([predict(part) for part in _batches(images)]).float()
            test_loss = float(loss(logits, labels.to(logits.device)))
            probabilities = logits.double().softmax(dim=1).cpu()
    finally:
        for module, training in modes:
            module.training = training
    true = labels.cpu()
    return Evaluation(
        loss=test_loss,
        scores=score(true.numpy(), probabilities.numpy()),
        misclassified=misclassified(images, true, probabilities, classes),
        lowest_loss=lowest_loss(images, true, probabilities, classes),
        classes=tuple(classes),
    )


def _batches(images: Tensor) -> list[Tensor]:
    return [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]


def _images(examples: Examples) -> Any:
    return midcourse.Images(list(examples.pictures), examples.captions)
