import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.metric_points import NONE, Points, as_said, merged, pack, unpack

MOST = 2**53 - 1
steps = st.lists(st.integers(0, MOST), unique=True, min_size=1, max_size=50).map(sorted)


def pairs(points):
    return list(zip(points.steps.tolist(), points.values.tolist(), strict=True))


@given(steps, st.data())
def test_what_is_packed_is_unpacked_bit_for_bit(steps, data):
    count = len(steps)
    values = data.draw(st.lists(st.floats(width=64), min_size=count, max_size=count))
    points = Points(np.array(steps), np.array(values))
    packed = unpack(steps[0], steps[-1], count, *pack(points))
    assert packed.steps.tolist() == steps
    assert packed.values.tobytes() == points.values.tobytes()
    assert packed.steps.dtype == np.int64


@pytest.mark.parametrize(
    ("steps", "even"),
    [([5], True), ([0, MOST], True), ([3, 5, 7, 9], True), ([3, 5, 7, 8], False)],
)
def test_steps_that_are_evenly_apart_take_no_place(steps, even):
    points = Points(np.array(steps), np.zeros(len(steps)))
    assert (pack(points)[0] is None) == even
    assert unpack(steps[0], steps[-1], len(steps), *pack(points)).steps.tolist() == steps


def test_the_first_value_of_a_step_is_the_one_that_counts():
    assert pairs(as_said([5, 3, 5, 4], [1.0, 2.0, 3.0, 4.0])) == [(3, 2.0), (4, 4.0), (5, 1.0)]
    early, late = as_said([1, 2], [1.0, 1.0]), as_said([2, 0, 3], [9.0, 9.0, 9.0])
    assert pairs(merged([early, late])) == [(0, 9.0), (1, 1.0), (2, 1.0), (3, 9.0)]
    assert pairs(late.without(early)) == [(0, 9.0), (3, 9.0)]
    assert merged([NONE, early, NONE]) is early
    assert len(merged([])) == 0


def test_a_part_has_both_of_its_bounds():
    points = as_said([1, 3, 5], [math.nan, 3.0, 5.0])
    assert pairs(points.between(3, 5)) == [(3, 3.0), (5, 5.0)]
    assert pairs(points.between(2, 4)) == [(3, 3.0)]
    assert len(points.between(None, None)) == 3
    assert len(points.between(6, None)) == len(points.between(None, 0)) == 0
