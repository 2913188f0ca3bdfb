"""Batches on their way to a device: whatever they are made of, in order, and each once."""

from typing import Any, NamedTuple

import pytest
import torch

from midcourse.data import Cursor, TensorSource
from midcourse.feed import Feed
from midcourse.transfer import moved_ahead

META = torch.device("meta")
"""A device without memory, which every machine has."""


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


def one() -> torch.Tensor:
    return torch.ones(2)


def test_every_tensor_of_a_batch_is_moved_and_its_shape_is_kept() -> None:
    batch = {"a": [one(), (one(), "label")], "b": Pair(one(), one()), "c": 3}
    (moved,) = moved_ahead(iter([batch]), META)
    assert [type(moved["a"][1]), type(moved["b"]), moved["a"][1][1]] == [tuple, Pair, "label"]
    tensors = [moved["a"][0], moved["a"][1][0], moved["b"].left, moved["b"].right]
    assert all(tensor.device == META for tensor in tensors)
    assert moved["c"] == 3
    assert batch["a"][0].device.type == "cpu"  # type: ignore[index]


def test_without_a_device_batches_are_left_as_they_are() -> None:
    batches = [(one(),), (one(),)]
    assert list(moved_ahead(iter(batches), None)) == batches


def test_a_feed_counts_what_was_given_out_not_what_is_under_way() -> None:
    cursor = Cursor()
    feed = Feed(
        TensorSource([torch.arange(10)], 4),
        cursor,
        seed=0,
        shuffle=False,
        drop_last=False,
        device=META,
    )
    taken = []
    for (batch,) in feed.walk(lambda: 1, lambda: 0):
        assert batch.device == META
        taken.append(cursor.samples)
    assert taken == [4, 8, 10]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu_batches_arrive_whole_and_in_order() -> None:
    device = torch.device("cuda")
    sent = [(torch.full((1 << 20,), float(index)).pin_memory(), index) for index in range(50)]
    total: Any = torch.zeros((), device=device)
    for index, (batch, label) in enumerate(moved_ahead(iter(sent), device)):
        assert label == index
        assert batch.device.type == "cuda"
        total += (batch * 2).sum() / (1 << 20)
        del batch
    assert total.item() == 2 * sum(range(50))
