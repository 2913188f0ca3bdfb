"""Whether more or less of a metric is better, as its name tells."""

from functools import lru_cache
from typing import Final

from midcourse.contract.interventions import PARAMETER_PREFIX

BEST_PREFIX: Final = "best/"
"""Begins the summary value with the best of a metric; its step is `best/<metric>_step`."""

_LOWER: Final = ("loss", "error", "perplexity", "mae", "mse", "rmse")
_HIGHER: Final = ("accuracy", "acc", "precision", "recall", "f1", "auroc", "auc", "map", "iou")


@lru_cache(maxsize=4096)
def direction(metric: str) -> int:
    """1 where higher is better, -1 where lower is, 0 where the name does not say."""
    words = metric.lower().replace("/", "_").replace("-", "_").split("_")
    if metric.startswith(PARAMETER_PREFIX) or "batch" in words:
        return 0  # set by people; or noise, whose extreme says nothing
    if any(word in _LOWER for word in words):
        return -1
    return 1 if any(word in _HIGHER for word in words) else 0
