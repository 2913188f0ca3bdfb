import pytest

from midcourse.contract.interval import Interval


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("100 steps", Interval(100, "steps")),
        ("1 step", Interval(1, "steps")),
        ("1 epoch", Interval(1, "epochs")),
        (" 2  epochs ", Interval(2, "epochs")),
    ],
)
def test_reads_steps_and_epochs(text: str, interval: Interval) -> None:
    assert Interval.parse(text) == interval
    assert Interval.parse(str(interval)) == interval


@pytest.mark.parametrize(
    "text",
    ["", "100", "steps", "0 steps", "-1 epochs", "1.5 epochs", "1 hour", "1 step\n1", "٣ steps"],
)
def test_refuses_anything_else_and_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match='such as "100 steps" or "1 epoch"'):
        Interval.parse(text)


def test_steps_are_due_when_so_many_are_complete() -> None:
    every = Interval(3, "steps")
    due = [step for step in range(9) if every.due(step=step, epoch=0, is_epoch_end=False)]
    assert due == [2, 5, 8]


def test_epochs_are_due_at_the_last_batch_of_each_so_manyth() -> None:
    every = Interval(2, "epochs")
    steps = [(epoch, batch == 4) for epoch in range(4) for batch in range(5)]
    due = [
        step
        for step, (epoch, end) in enumerate(steps)
        if every.due(step=step, epoch=epoch, is_epoch_end=end)
    ]
    assert due == [9, 19]
