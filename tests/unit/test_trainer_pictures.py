"""Where the pictures lie changes nothing but the speed."""

from pathlib import Path

import pytest
import torch

from midcourse.data import Cursor
from midcourse.feed import Feed
from midcourse.sources import make_source
from trainer.pictures import TrainingData, choose_placement, place
from trainer.tasks import DATASETS

CPU = torch.device("cpu")


def batches(training: TrainingData) -> list[tuple[torch.Tensor, torch.Tensor]]:
    source = make_source(
        training.data,
        seed=0,
        batch_size=8,
        num_workers=training.options.get("num_workers", 0),
        collate_fn=training.options.get("collate_fn"),
    )
    device = training.options.get("device")
    feed = Feed(source, Cursor(), seed=0, shuffle=True, drop_last=False, device=device)
    return list(feed.walk(lambda: 2, lambda: 0))


@pytest.mark.parametrize("workers", [0, 2])
def test_both_placements_give_the_same_batches(tmp_path: Path, workers: int) -> None:
    dataset = DATASETS.make("fake", tmp_path, train_size=30, image_size=4, channels=3)
    _, resident = place(dataset, "resident", CPU, workers)
    _, loaded = place(dataset, "loader", CPU, workers)
    assert len(batches(resident)) == 8
    for mine, other in zip(batches(resident), batches(loaded), strict=True):
        assert torch.equal(mine[0], other[0])
        assert torch.equal(mine[1], other[1])


@pytest.mark.parametrize(
    ("wanted", "free_share", "expected"),
    [
        ("auto", None, "resident"),  # a CPU
        ("auto", 4.0, "resident"),
        ("auto", 3.9, "loader"),
        ("resident", 0.0, "resident"),
        ("loader", 100.0, "loader"),
    ],
)
def test_what_fits_in_a_quarter_of_the_free_memory_lies_on_the_device(
    tmp_path: Path, wanted: str, free_share: float | None, expected: str
) -> None:
    dataset = DATASETS.make("fake", tmp_path, train_size=30, test_size=10, image_size=4)
    assert dataset.bytes == 40 * (4 * 4 + 8)
    free = None if free_share is None else int(free_share * dataset.bytes)
    assert choose_placement(wanted, dataset, CPU, lambda device: free) == expected  # type: ignore[arg-type]
