"""How often each class occurs in the data."""

from collections.abc import Sequence

import torch
from torch import Tensor

from midcourse.contract.media import Bars


def label_histogram(labels: Tensor, classes: Sequence[str]) -> Bars:
    """A bar for each class, with its number of training pictures.

    Args:
        labels: int64 [N].
        classes: names of the classes 0, 1, …
    """
    counts = torch.bincount(labels.cpu(), minlength=len(classes))
    return Bars(
        labels=list(classes),
        values=[float(count) for count in counts],
        value_title="training pictures",
    )
