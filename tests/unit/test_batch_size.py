"""The batch size changes between any two steps: no sample is skipped or seen twice, by ids."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from midcourse.data import Cursor, DatasetSource, Source, TensorSource, epoch_order
from midcourse.feed import Feed


class Numbers(Dataset[Any]):
    """Its samples are their own ids; they are never the same twice over unless seeded so."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return torch.tensor(index), torch.rand(())


class Fixed(Numbers):
    """The same without anything random; remembers how many were asked for at once."""

    draws_nothing = True

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(torch.tensor(index), torch.tensor(len(indices))) for index in indices]


def tensors(length: int, batch_size: int) -> Source:
    return TensorSource([torch.arange(length)], batch_size)


def dataset(
    length: int, batch_size: int, kind: type[Numbers] = Numbers, workers: int = 0
) -> Source:
    return DatasetSource(kind(length), batch_size, 0, None, {"num_workers": workers})


def feed(source: Source, cursor: Cursor | None = None, **options: Any) -> Feed:
    chosen = {"seed": 0, "shuffle": True, "drop_last": False} | options
    return Feed(source, cursor or Cursor(), **chosen)


def ids(batch: Any) -> list[int]:
    return [int(number) for number in batch[0]]


def walk(
    walked: Feed, changes: dict[int, int], epochs: int = 3, first_step: int = 0
) -> Iterator[tuple[list[int], bool]]:
    """Walk to the end; `changes` are sizes by the step after which they are set."""
    for step, batch in enumerate(walked.walk(lambda: epochs, lambda: 0), start=first_step):
        yield ids(batch), walked.is_epoch_end
        walked.batch_size = changes.get(step, walked.batch_size)


def by_epoch(batches: Sequence[tuple[list[int], bool]]) -> list[list[list[int]]]:
    """The batches of each epoch, by what was said of its end."""
    epochs: list[list[list[int]]] = [[]]
    for batch, is_end in batches:
        epochs[-1].append(batch)
        if is_end:
            epochs.append([])
    assert epochs.pop() == [], "the last batch of all ends an epoch"
    return epochs


def flat(batches: Sequence[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


MANY = {0: 3, 2: 7, 3: 1, 4: 5, 8: 20, 9: 4}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        tensors,
        dataset,
        lambda length, size: dataset(length, size, workers=2),
        lambda length, size: dataset(length, size, Fixed, workers=2),
    ],
    ids=["tensors", "dataset", "two workers", "two lasting workers"],
)
def test_the_very_next_batch_has_the_new_size_and_every_sample_is_seen_once(
    make: Any, shuffle: bool
) -> None:
    seen = list(walk(feed(make(25, 4), shuffle=shuffle), MANY))
    sizes = [len(batch) for batch, _ in seen]
    assert sizes == [4, 3, 3, 7, 1, 5, 2, 5, 5, 15, 4, 4, 4, 4, 4, 4, 1]
    for epoch, batches in enumerate(by_epoch(seen)):
        assert flat(batches) == epoch_order(0, epoch, 25, shuffle).tolist()


@pytest.mark.parametrize("kind", [Numbers, Fixed])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_workers_read_ahead_at_the_old_size_is_read_again(
    workers: int, kind: type[Numbers]
) -> None:
    def batches(changes: dict[int, int]) -> list[Any]:
        found = []
        walked = feed(dataset(40, 4, kind, workers))
        for step, batch in enumerate(walked.walk(lambda: 1, lambda: 0)):
            found.append(batch)
            walked.batch_size = changes.get(step, 4)
        return found

    changed, unchanged = batches({2: 7, 3: 2}), batches({})
    assert [len(batch[0]) for batch in changed] == [4, 4, 4, 7, 2, 4, 4, 4, 4, 3]
    if kind is Numbers:  # each sample is drawn alike, whatever batch it comes in
        for part in (0, 1):
            assert torch.equal(
                torch.cat([batch[part] for batch in changed]),
                torch.cat([batch[part] for batch in unchanged]),
            )
    else:  # each batch was read at its own size
        assert all((batch[1] == len(batch[0])).all() for batch in changed)


sizes_after = st.dictionaries(st.integers(0, 30), st.integers(1, 12), max_size=8)


@settings(deadline=None, max_examples=300)
@given(
    length=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    changes=sizes_after,
    rule=st.sampled_from(["keep", "drop_last", "smallest_last"]),
    cut=st.integers(0, 60),
)
def test_whatever_changes_when_and_wherever_it_is_cut(
    length: int, batch_size: int, changes: dict[int, int], rule: str, cut: int
) -> None:
    options: dict[str, Any] = {"drop_last": rule == "drop_last"}
    if rule == "drop_last":
        batch_size = min(batch_size, length)
        changes = {step: min(size, length) for step, size in changes.items()}
    if rule == "smallest_last":
        options["smallest_last"] = 2
    whole = list(walk(feed(tensors(length, batch_size), **options), changes))
    epochs = by_epoch(whole)
    assert len(epochs) == 3

    size_at, size = [], batch_size
    for step in range(len(whole)):
        size_at.append(size)
        size = changes.get(step, size)
    step = 0
    for epoch, batches in enumerate(epochs):
        order = epoch_order(0, epoch, length, True).tolist()
        seen = flat(batches)
        assert seen == order[: len(seen)]
        left_out = length - len(seen)
        sizes = size_at[step : step + len(batches)]
        step += len(batches)
        assert [len(batch) for batch in batches[:-1]] == sizes[:-1]
        allowed = {"keep": 1, "drop_last": sizes[-1], "smallest_last": min(2, sizes[-1])}[rule]
        assert left_out < allowed
        if len(batches[-1]) < allowed:  # a change left too little for one whole batch
            assert left_out == 0
            assert len(batches) == 1 or len(batches[-1]) >= len(batches[-2])

    # Cut anywhere, a walk from the cursor and the size alone goes on as if it had not been cut.
    cursor = Cursor()
    first = feed(tensors(length, batch_size), cursor, **options)
    begun = [found for _, found in zip(range(cut), walk(first, changes), strict=False)]
    if begun and len(begun) == cut:  # what is set after the last step taken
        first.batch_size = changes.get(cut - 1, first.batch_size)
    again = feed(tensors(length, first.batch_size), Cursor(cursor.epoch, cursor.samples), **options)
    assert begun + list(walk(again, changes, first_step=len(begun))) == whole


@settings(deadline=None)
@given(
    length=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    new_size=st.integers(1, 12),
    after=st.integers(0, 20),
    smallest_last=st.integers(1, 3),
)
def test_the_steps_that_are_left_are_known(
    length: int, batch_size: int, new_size: int, after: int, smallest_last: int
) -> None:
    walked = feed(tensors(length, batch_size), smallest_last=smallest_last)
    foretold = []
    for step, _ in enumerate(walked.walk(lambda: 2, lambda: 0)):
        if step == after:
            walked.batch_size = new_size
        foretold.append(step + 1 + walked.steps_left(2))
    assert foretold[after:] == [len(foretold)] * len(foretold[after:])


def test_an_epoch_that_was_said_to_end_does_not_end_again() -> None:
    """Two samples were dropped at size 4; at size 2 they would have made one more batch."""
    seen = list(walk(feed(tensors(10, 4), drop_last=True), {1: 2}, epochs=2))
    assert [(len(batch), end) for batch, end in seen] == [
        (4, False),
        (4, True),
        *[(2, False)] * 4,
        (2, True),
    ]


def test_a_rest_that_a_change_left_too_small_for_a_whole_batch_still_ends_the_epoch() -> None:
    seen = list(walk(feed(tensors(10, 2), drop_last=True), {3: 8}, epochs=2))
    assert [(len(batch), end) for batch, end in seen] == [
        *[(2, False)] * 4,
        (2, True),
        (8, True),
    ]


@pytest.mark.parametrize(
    ("length", "size", "sizes"),
    [
        (33, 16, [16, 16]),  # one would be left over
        (34, 16, [16, 16, 2]),
        (32, 16, [16, 16]),
        (1, 16, [1]),  # else there were none
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_single_sample_is_left_out_where_it_must_not_be_alone(
    length: int, size: int, sizes: list[int]
) -> None:
    seen = list(walk(feed(tensors(length, size), smallest_last=2), {}, epochs=1))
    assert [len(batch) for batch, _ in seen] == sizes


def test_that_rule_follows_the_size() -> None:
    """33 pictures: at 16 one is over; at 8 after 16 one is, too; at 3 none is."""
    for changes, sizes in (
        ({0: 8}, [16, 8, 8]),
        ({1: 3}, [16, 16]),
        ({0: 3}, [16, 3, 3, 3, 3, 3, 2]),
    ):
        walked = feed(tensors(33, 16), smallest_last=2)
        assert [len(batch) for batch, _ in walk(walked, changes, epochs=1)] == sizes


def test_dropping_incomplete_batches_bounds_the_size() -> None:
    walked = feed(tensors(10, 4), drop_last=True)
    walked.check_batch_size(10)
    with pytest.raises(ValueError, match="must be at most 10, the samples of an epoch"):
        walked.check_batch_size(11)
    feed(tensors(10, 4)).check_batch_size(11)
