"""Rows: one a step, whole, in growing order, the same whenever the log is read."""

from hypothesis import given
from hypothesis import strategies as st

from midcourse.contract.media import Bars
from midcourse.tracking.rows import RowQueue
from midcourse.tracking.tracker import Row

BARS = Bars(labels=["a"], values=[1.0])


def add(queue: RowQueue, step: int, **values: float) -> list[Row]:
    return queue.add(step, float(step), values, {})


def test_a_row_goes_when_a_later_step_shows_that_it_is_complete() -> None:
    queue = RowQueue()
    assert add(queue, 0, loss=1.0) == []
    assert add(queue, 0, accuracy=0.5) == []
    [row] = add(queue, 1, loss=0.9)
    assert (row.position, row.step, row.values) == (0, 0, {"loss": 1.0, "accuracy": 0.5})


def test_the_first_value_of_a_metric_and_step_wins() -> None:
    queue = RowQueue()
    add(queue, 0, loss=1.0)
    add(queue, 0, loss=2.0)
    assert [row.values for row in queue.close()] == [{"loss": 1.0}]


def test_a_redo_adds_only_what_is_new() -> None:
    queue = RowQueue()
    rows = [row for step in range(5) for row in add(queue, step, loss=float(step))]
    rows += queue.settle(queue.newest)  # the trainer died, and starts again from step 2
    rows += [row for step in range(2, 8) for row in add(queue, step, loss=float(step))]
    rows += queue.close()
    assert [(row.position, row.values["loss"]) for row in rows] == [
        (step, float(step)) for step in range(8)
    ]


def test_what_comes_after_its_row_had_gone_stands_at_the_end_under_its_true_step() -> None:
    queue = RowQueue()
    add(queue, 0, loss=1.0)
    add(queue, 1, loss=0.9)
    add(queue, 0, slow=7.0)
    queue.add(0, 3.0, {}, {"picture": BARS})
    rows = queue.close()
    assert [(row.position, row.step) for row in rows] == [(1, 1), (2, 0)]
    assert rows[-1].values == {"slow": 7.0}
    assert rows[-1].media == {"picture": BARS}


def test_a_note_about_a_step_neither_completes_rows_nor_comes_late() -> None:
    queue = RowQueue()
    add(queue, 0, loss=1.0)
    queue.annotate(1, 0.0, {"param/lr": 0.1}, {})
    assert add(queue, 1, loss=0.9)[0].step == 0
    queue.annotate(0, 0.0, {"param/lr": 0.2}, {})
    [row] = queue.close()
    assert row.values == {"loss": 0.9, "param/lr": 0.1}


def test_step_zero_is_a_step() -> None:
    queue = RowQueue()
    add(queue, 0, loss=1.0)
    assert [row.step for row in queue.settle(0)] == [0]
    assert queue.gone == 0


logged = st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc")), max_size=40)


@given(logged)
def test_positions_grow_strictly_and_no_value_is_lost_or_doubled(
    entries: list[tuple[int, str]],
) -> None:
    queue = RowQueue()
    rows = []
    expected: dict[tuple[str, int], float] = {}
    highest: dict[str, int] = {}
    for number, (step, name) in enumerate(entries):
        rows += add(queue, step, **{name: float(number)})
        if step > highest.get(name, -1):
            highest[name] = step
            expected[name, step] = float(number)
    rows += queue.close()
    positions = [row.position for row in rows]
    assert positions == sorted(set(positions))
    shown = {(name, row.step): value for row in rows for name, value in row.values.items()}
    assert shown == expected
    assert sum(len(row.values) for row in rows) == len(expected)
