"""Which samples come when, from any place on, whoever reads them."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from midcourse.contract.errors import InvalidInput
from midcourse.data import Cursor, epoch_order
from midcourse.feed import Feed
from midcourse.sources import drops_last, make_source, shuffles


class Noisy(Dataset[Any]):
    """Samples that are drawn at random: number, then noise of each generator."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        noise = [random.random(), float(np.random.rand()), torch.rand(()).item()]
        return torch.tensor([index, *noise], dtype=torch.float64)


def feed(data: Any, cursor: Cursor | None = None, **options: Any) -> Feed:
    seed = options.pop("seed", 0)
    choice = {key: options.pop(key, None) for key in ("shuffle", "drop_last")}
    settings = {"batch_size": None, "num_workers": 0, "collate_fn": None} | options
    return Feed(
        make_source(data, seed=seed, **settings),
        cursor or Cursor(),
        seed=seed,
        shuffle=shuffles(data, choice["shuffle"]),
        drop_last=drops_last(data, choice["drop_last"]),
    )


def walk(source: Feed, epochs: int = 1) -> Iterator[Any]:
    return source.walk(lambda: epochs, lambda: 0)


def samples(batches: Any) -> list[list[int]]:
    return [
        [
            int(number)
            for number in (batch[0] if isinstance(batch, list | tuple) else batch).flatten()
        ]
        for batch in batches
    ]


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    torch.manual_seed(1)
    first = epoch_order(7, 3, 100, True)
    torch.manual_seed(2)
    assert torch.equal(epoch_order(7, 3, 100, True), first)
    assert sorted(first.tolist()) == list(range(100))
    assert not torch.equal(epoch_order(7, 4, 100, True), first)
    assert not torch.equal(epoch_order(8, 3, 100, True), first)
    assert epoch_order(7, 3, 5, False).tolist() == [0, 1, 2, 3, 4]


def test_the_order_is_the_same_in_every_version() -> None:
    """Runs of years ago must be continued on the samples that they had not seen."""
    assert epoch_order(0, 0, 8, True).tolist() == [5, 1, 7, 0, 3, 6, 2, 4]


@settings(deadline=None)
@given(
    length=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    other_size=st.integers(1, 12),
    taken=st.integers(0, 120),
    drop_last=st.booleans(),
)
def test_from_any_place_on_the_same_samples_remain(
    length: int, batch_size: int, other_size: int, taken: int, drop_last: bool
) -> None:
    if drop_last and length < max(batch_size, other_size):
        return
    data = torch.arange(length)
    cursor = Cursor()
    first = walk(feed(data, cursor, batch_size=batch_size, drop_last=drop_last), epochs=3)
    seen = samples(batch for _, batch in zip(range(taken), first, strict=False))
    again = Cursor(cursor.epoch, cursor.samples)
    if not drop_last:
        rest = samples(walk(feed(data, again, batch_size=other_size), epochs=3))
        flat = [number for batch in seen + rest for number in batch]
        assert flat == [
            n for epoch in range(3) for n in epoch_order(0, epoch, length, True).tolist()
        ]
    else:
        rest = samples(walk(feed(data, again, batch_size=batch_size, drop_last=True), epochs=3))
        whole = samples(walk(feed(data, batch_size=batch_size, drop_last=True), epochs=3))
        assert seen + rest == whole
        assert all(len(batch) == batch_size for batch in whole)


def test_the_end_of_an_epoch_is_seen_and_counted() -> None:
    cursor = Cursor()
    source = feed(torch.arange(10), cursor, batch_size=4)
    assert source.steps_per_epoch == 3
    ends = [(cursor.epoch, cursor.samples, source.is_epoch_end) for _ in walk(source, 2)]
    first = [(0, 4, False), (0, 8, False), (0, 10, True)]
    assert ends == [*first, *[(1, taken, end) for _, taken, end in first]]
    assert (cursor.epoch, cursor.samples) == (1, 10)


def test_a_walk_whose_place_is_moved_goes_on_from_there() -> None:
    cursor, moves = Cursor(), [0]
    walker = feed(torch.arange(10), cursor, batch_size=5, shuffle=False).walk(
        lambda: 2, lambda: moves[0]
    )
    seen = samples([next(walker), next(walker), next(walker)])
    cursor.epoch, cursor.samples, moves[0] = 0, 2, 1
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]
    assert samples(walker)[:2] == [[2, 3, 4, 5, 6], [7, 8, 9]]


def test_workers_change_neither_samples_nor_their_randomness() -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        return list(walk(feed(Noisy(23), batch_size=5, num_workers=workers), 2))

    alone, helped = batches(0), batches(2)
    assert len(alone) == 10
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))
    epochs = torch.cat(alone[:5]), torch.cat(alone[5:])
    noise = [{int(row[0]): row[1:].tolist() for row in epoch} for epoch in epochs]
    assert noise[0].keys() == noise[1].keys()
    assert all(noise[0][index] != noise[1][index] for index in noise[0])


def test_a_sample_is_drawn_alike_after_a_resume() -> None:
    whole = torch.cat(list(walk(feed(Noisy(12), batch_size=4))))
    rest = torch.cat(list(walk(feed(Noisy(12), Cursor(0, 4), batch_size=3))))
    assert torch.equal(rest, whole[4:])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_training_generators_are_left_undisturbed(workers: int) -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    undisturbed = (random.random(), np.random.rand(), torch.rand(()).item())
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert len(list(walk(feed(Noisy(8), batch_size=4, num_workers=workers)))) == 2
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == undisturbed


def test_a_loader_keeps_its_ways_but_for_the_order() -> None:
    dataset = TensorDataset(torch.arange(10))

    def collate(rows: list[Any]) -> list[torch.Tensor]:
        return [torch.stack([row[0] for row in rows]) + 100]

    shuffled = DataLoader(dataset, 4, shuffle=True, collate_fn=collate, drop_last=True)
    seen = samples(walk(feed(shuffled)))
    assert [len(batch) for batch in seen] == [4, 4]
    order = epoch_order(0, 0, 10, True)[:8]
    assert [number for batch in seen for number in batch] == (order + 100).tolist()
    assert samples(walk(feed(DataLoader(dataset, 4)))) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_list_of_samples_is_a_dataset() -> None:
    data = [(number, number * 2) for number in range(5)]
    assert samples(walk(feed(data, batch_size=5, shuffle=False))) == [[0, 1, 2, 3, 4]]


def test_rows_of_several_tensors_stay_together() -> None:
    data = (torch.arange(9), torch.arange(9) * 10)
    for numbers, tens in walk(feed(data, batch_size=4)):
        assert torch.equal(numbers * 10, tens)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


class Endless(Dataset[Any]):
    def __getitem__(self, index: int) -> int:
        return index


NUMBERS = TensorDataset(torch.arange(10))
ARRAY = np.arange(10)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (Stream(), {"batch_size": 2}, "data: must be tensors, a map-style dataset or a DataLoader"),
        (DataLoader(Stream(), 2), {}, "data: the DataLoader's dataset is iterable"),
        (Endless(), {"batch_size": 2}, "data: must be tensors, a map-style dataset"),
        ({"x": ARRAY}, {"batch_size": 2}, "data: must be tensors, a map-style .* not dict"),
        (iter([1]), {"batch_size": 2}, "data: must be tensors, .* not list_iterator"),
        (3, {"batch_size": 2}, "data: must be tensors, .* not int"),
        ((ARRAY, ARRAY), {"batch_size": 2}, "data: holds ndarray; make them tensors"),
        ([ARRAY, ARRAY], {"batch_size": 2}, "data: holds ndarray; make them tensors"),
        ((torch.arange(3), ARRAY), {"batch_size": 2}, "data: holds Tensor, ndarray; make them"),
        ((), {"batch_size": 2}, "data: holds nothing"),
        (
            (torch.arange(3), torch.arange(4)),
            {"batch_size": 2},
            r"data: tensors must be of one length, not \[3, 4\]",
        ),
        (torch.tensor(1), {"batch_size": 2}, "data: tensors must have a first dimension"),
        (torch.arange(0), {"batch_size": 2}, "data: has no whole batch: 0 samples"),
        (torch.arange(3), {"batch_size": 4, "drop_last": True}, "has no whole batch: 3 samples"),
        (torch.arange(3), {}, "batch_size: must be given"),
        (torch.arange(3), {"batch_size": 0}, "batch_size: must be a whole number of at least 1"),
        (torch.arange(3), {"batch_size": 1.5}, "batch_size: .* not 1.5"),
        (torch.arange(3), {"batch_size": True}, "batch_size: .* not True"),
        (
            DataLoader(NUMBERS, 2, sampler=WeightedRandomSampler([1.0] * 10, 10)),
            {},
            "data: the DataLoader has a sampler of its own",
        ),
        (
            DataLoader(NUMBERS, 2, sampler=RandomSampler(NUMBERS, replacement=True)),
            {},
            "data: the DataLoader has a sampler of its own",
        ),
        (
            DataLoader(NUMBERS, 2, sampler=RandomSampler(NUMBERS, num_samples=4)),
            {},
            "data: the DataLoader has a sampler of its own",
        ),
        (DataLoader(NUMBERS, batch_sampler=[[0], [1]]), {}, "has a sampler of its own"),
        (DataLoader(NUMBERS, batch_size=None), {}, "has a sampler of its own"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | dict) else None,
)
def test_what_cannot_be_resumed_exactly_is_refused(
    data: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        feed(data, **options)


def test_a_subset_is_a_dataset() -> None:
    half = Subset(NUMBERS, [1, 3, 5])
    assert samples(walk(feed(half, batch_size=3, shuffle=False))) == [[1, 3, 5]]
