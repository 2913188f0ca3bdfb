"""Where a metric is shown, and with which others, as its name tells: any program's, not ours alone.

What fits nowhere else is shown with the training.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from midcourse.contract.directions import direction
from midcourse.contract.interventions import PARAMETER_PREFIX


class Place(StrEnum):
    """The sections of a page that shows runs, by their titles."""

    TRAINING = "Training"
    INTERVENTIONS = "Interventions"
    PER_CLASS = "Per-class"
    EXAMPLES = "Examples"
    LAYERS = "Layers"
    SYSTEM = "System"


@dataclass(frozen=True)
class Chart:
    """Metrics that share axes."""

    title: str
    metrics: tuple[str, ...]
    log_y: bool = False


_LAYERS = re.compile(
    r"^(gradients?|weights?|updates?|layers?|activations?|parameters?)/|grad_?norm"
)
_SYSTEM = re.compile(
    r"^(system|gpu|cpu|memory|time|perf|performance|timing)/|per_second|per_sec\b|throughput"
    r"|_seconds$|(gpu|cpu|memory)_(util|usage|mb|gb)"
)
_PER_CLASS = re.compile(r"(^|[/_])(per_class|by_class|class)[/_]")
_SPLITS = "train|training|test|val|valid|validation|eval|dev"
_SPLIT = re.compile(rf"^({_SPLITS})[/_.-](?=.)", re.IGNORECASE)
_SPLIT_BEHIND = re.compile(rf"(?<=.)[/_.-]({_SPLITS})$", re.IGNORECASE)

_WORDS = {"lr": "learning rate", "f1": "F1", "auroc": "AUROC", "auc": "AUC", "iou": "IoU"}
_LAYER_TITLES = {
    "gradients": "Gradient norms",
    "weights": "Weight norms",
    "updates": "Update norms",
}


def place_of(metric: str) -> Place:
    """The section in which a metric stands."""
    if metric.startswith(PARAMETER_PREFIX):
        return Place.INTERVENTIONS
    name = metric.lower()
    for pattern, place in (
        (_LAYERS, Place.LAYERS),
        (_PER_CLASS, Place.PER_CLASS),
        (_SYSTEM, Place.SYSTEM),
    ):
        judged = place is Place.SYSTEM and direction(metric)
        if pattern.search(name) and not judged:  # `performance/accuracy` is no matter of speed
            return place
    return Place.TRAINING


def charts_of(metrics: Iterable[str], place: Place, *, together: bool = True) -> list[Chart]:
    """The charts of a section, what matters most first.

    Args:
        metrics: all that there are.
        place: of the charts; metrics that stand elsewhere are left out.
        together: the same of training and test data share a chart; else each has its own, so
            that many runs can be told apart in it.
    """
    stems: dict[str, list[str]] = {}
    for metric in sorted(each for each in metrics if place_of(each) is place):
        stems.setdefault(stem_of(metric, place), []).append(metric)
    charts = []
    for stem, names in stems.items():
        if together or place is Place.LAYERS or len(names) == 1:
            metrics_of_chart = tuple(sorted(names, key=_training_first))
            charts.append(Chart(title_of(stem, place), metrics_of_chart, _is_log(place)))
        else:
            charts += [Chart(title_of(name, place), (name,), _is_log(place)) for name in names]
    return sorted(charts, key=lambda chart: (_rank(chart.metrics), chart.title))


def title_of(stem: str, place: Place = Place.TRAINING) -> str:
    """A metric's name, or part of it, as a heading: `train/lr` is `Train learning rate`."""
    if place is Place.LAYERS and stem in _LAYER_TITLES:
        return _LAYER_TITLES[stem]
    words = [_WORDS.get(word, word) for word in re.split(r"[\s_/]+", stem) if word]
    text = " ".join(words) or stem
    return text[:1].upper() + text[1:]


def stem_of(metric: str, place: Place) -> str:
    """What metrics of one chart have in common: of layers the quantity, else all but the split."""
    if place is Place.LAYERS:
        return metric.partition("/")[0]
    return _SPLIT_BEHIND.sub("", _SPLIT.sub("", metric))


def main_metric(metrics: Iterable[str]) -> str | None:
    """The one by which runs are judged, as `judged` has it; None: none tells."""
    return next(iter(judged(metrics)), None)


def judged(metrics: Iterable[str]) -> list[str]:
    """Those whose direction is known, the one that tells most first.

    A metric of one class, or of one layer, comes after all that speak of the whole; then those of
    unseen data come first, and accuracy before loss.
    """
    directed = [metric for metric in metrics if direction(metric)]
    return sorted(directed, key=lambda metric: (*_worth(metric), metric))


def is_of_unseen_data(metric: str) -> bool:
    """Whether it was measured on data that the run does not train on, as its name tells."""
    found = _SPLIT.search(metric) or _SPLIT_BEHIND.search(metric)
    return found is not None and not found[1].lower().startswith("train")


def _worth(metric: str) -> tuple[bool, bool, int]:
    words = re.split(r"[/_.-]", metric.lower())
    order = ("accuracy", "acc", "f1", "auroc", "auc", "loss")
    place = next((index for index, word in enumerate(order) if word in words), len(order))
    return (place_of(metric) is not Place.TRAINING, not is_of_unseen_data(metric), place)


def _training_first(metric: str) -> tuple[bool, str]:
    return is_of_unseen_data(metric), metric


def _rank(metrics: tuple[str, ...]) -> int:
    """Losses, then other measures of quality, then rates, then the rest; epochs last."""
    words = {word for metric in metrics for word in re.split(r"[/_.-]", metric.lower())}
    directed = any(direction(metric) for metric in metrics)
    if directed:
        return 0 if "loss" in words else 1 if words & {"accuracy", "acc"} else 2
    return 3 if words & {"lr", "rate"} else 5 if "epoch" in words else 4


def _is_log(place: Place) -> bool:
    return place is Place.LAYERS  # norms of layers differ by orders of magnitude
