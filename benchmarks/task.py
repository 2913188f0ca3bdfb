"""The model and the data that all candidates train: an MLP of about 1 ms a step on one core."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

SAMPLES, FEATURES, CLASSES = 4096, 256, 10
HIDDEN = 256
BATCH = 64
LEARNING_RATE = 0.01

Batch = tuple[Tensor, Tensor]


def make_data() -> Batch:
    """Features (SAMPLES, FEATURES) and labels (SAMPLES,), the same in every process."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(SAMPLES, FEATURES, generator=generator)
    return features, torch.randint(0, CLASSES, (SAMPLES,), generator=generator)


def make_model() -> nn.Module:
    """The MLP: about a quarter of a million weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, CLASSES),
    )


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum."""
    return torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)


def batches(data: Batch, steps: int) -> Iterator[Batch]:
    """Shuffled batches, epoch after epoch, picked from tensors as a session picks them."""
    taken = 0
    while True:
        order = torch.randperm(SAMPLES)
        for begin in range(0, SAMPLES, BATCH):
            if taken == steps:
                return
            taken += 1
            indices = order[begin : begin + BATCH]
            yield data[0][indices], data[1][indices]
