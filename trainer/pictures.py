"""Where the training pictures lie: on the device, or in host memory, to be loaded by batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from trainer.tasks import Dataset

Placement = Literal["resident", "loader"]

RESIDENT_SHARE = 0.25
"""How much of a GPU's free memory the pictures may fill and still be kept there."""


@dataclass(frozen=True)
class TrainingData:
    """What a run takes its batches from, and how; the order is the same in both placements."""

    data: Any
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `Session.batches`."""


class Pictures(TorchDataset[tuple[Tensor, Tensor]]):
    """Pictures and labels in host memory, for workers to gather from.

    Nothing here is random: they are augmented on the device, in batches, as those kept there are.
    """

    draws_nothing = True

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images = images
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._images[index], self._labels[index]

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: uint8 [N, C, H, W] and int64 [N]."""
        chosen = torch.as_tensor(indices)
        return self._images.index_select(0, chosen), self._labels.index_select(0, chosen)


def as_it_is(batch: Any) -> Any:
    """The batch, which was gathered as one."""
    return batch


def free_memory(device: torch.device) -> int | None:
    """Bytes that a GPU has free; None for the CPU, whose memory holds the pictures already."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def choose_placement(
    wanted: Literal["auto"] | Placement,
    dataset: Dataset,
    device: torch.device,
    free: Callable[[torch.device], int | None] = free_memory,
) -> Placement:
    """Where the pictures lie: as is wanted, or for `auto` on the device if they fit there."""
    if wanted == "auto":
        available = free(device)
        fits = available is None or dataset.bytes <= RESIDENT_SHARE * available
        return "resident" if fits else "loader"
    return wanted


def place(
    dataset: Dataset, placement: Placement, device: torch.device, workers: int
) -> tuple[Dataset, TrainingData]:
    """Put the pictures where they are to lie.

    Returns:
        The data set, its pictures on the device or in host memory; and what to train on.
    """
    if placement == "resident":
        dataset = dataset.to(device)
        return dataset, TrainingData((dataset.train_images, dataset.train_labels))
    dataset = dataset.with_statistics_on(device)
    pictures = Pictures(dataset.train_images, dataset.train_labels)
    options = {"num_workers": workers, "collate_fn": as_it_is, "device": device}
    return dataset, TrainingData(pictures, options)
