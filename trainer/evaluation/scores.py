"""Scores of a classifier from its probabilities, by scikit-learn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics


@dataclass(frozen=True)
class Scores:
    """How well the true classes are found. Averages are over the classes that occur."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    auroc: float | None
    """Mean over classes of one-against-the-rest; None where it is not defined: only one class
    occurs, or a probability is not finite."""
    confusion: NDArray[np.int64]
    """[K, K] counts: rows are true classes, columns predicted ones."""
    class_precision: NDArray[np.float64]
    """[K]; so are the next two. 0 where a class is never predicted."""
    class_recall: NDArray[np.float64]
    class_f1: NDArray[np.float64]

    @property
    def support(self) -> NDArray[np.int64]:
        """[K] How often each class occurs."""
        counts: NDArray[np.int64] = self.confusion.sum(axis=1)
        return counts


def score(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Scores:
    """All scores at once.

    Args:
        labels: [N] true classes.
        probabilities: [N, K] of each class; the greatest is the prediction.
    """
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predicted, labels=classes)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0.0
    )
    occurs = support > 0
    return Scores(
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        precision=float(precision[occurs].mean()),
        recall=float(recall[occurs].mean()),
        f1=float(f1[occurs].mean()),
        auroc=_auroc(labels, probabilities, classes[occurs]),
        confusion=confusion,
        class_precision=precision,
        class_recall=recall,
        class_f1=f1,
    )


def _auroc(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], occurring: NDArray[np.int64]
) -> float | None:
    """The mean over the classes that occur; scikit-learn's own `ovr` refuses one that does not."""
    if len(occurring) < 2 or not np.isfinite(probabilities).all():
        return None
    areas = [metrics.roc_auc_score(labels == label, probabilities[:, label]) for label in occurring]
    return float(np.mean(areas))
