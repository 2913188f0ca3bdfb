import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_api.downsampling import LEAST_POINTS, buckets, downsample
from control_api.metric_points import Points

values = st.one_of(
    st.floats(width=64),
    st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]),
    st.integers(0, 2),
)
series = st.lists(values, max_size=300)
"""Of few different values too, so that extremes stand in many places."""


def points(numbers):
    return Points(np.arange(len(numbers)) * 7 + 3, np.array(numbers, np.float64))


def kinds(number):
    return "finite" if math.isfinite(number) else str(number)


@settings(max_examples=300, deadline=None)
@given(series, st.integers(LEAST_POINTS, 120))
def test_the_ends_and_the_extremes_of_every_bucket_survive(numbers, at_most):
    whole = points(numbers)
    told = downsample(whole, at_most)
    assert len(told) <= at_most
    assert np.all(np.diff(told.steps) > 0)
    logged = dict(zip(whole.steps.tolist(), map(str, numbers), strict=True))
    for step, value in zip(told.steps.tolist(), told.values.tolist(), strict=True):
        assert float(logged[step]) == value or (math.isnan(value) and logged[step] == "nan")
    if len(numbers) <= at_most:
        assert told is whole
        return
    assert {3, (len(numbers) - 1) * 7 + 3} <= set(told.steps.tolist())
    inside = numbers[1:-1]
    found = {kinds(number) for number in inside} - {"finite"}
    number = (at_most - 2) // (2 + len(found))
    starts = [*buckets(len(numbers), number).tolist(), len(numbers) - 1]
    assert (starts[0], number >= 1) == (1, True)
    for start, stop in pairwise(starts):
        assert stop > start
        bucket = numbers[start:stop]
        kept = [
            value
            for step, value in zip(told.steps, told.values, strict=True)
            if start * 7 + 3 <= step < stop * 7 + 3
        ]
        assert {kinds(value) for value in kept} == {kinds(value) for value in bucket}
        if finite := [value for value in bucket if math.isfinite(value)]:
            kept = [value for value in kept if math.isfinite(value)]
            assert (min(kept), max(kept)) == (min(finite), max(finite))


def test_one_spike_in_a_million_is_seen_where_it_was():
    numbers = np.sin(np.arange(1_000_000) / 1000)
    numbers[654_321] = 9.0
    numbers[123_456] = math.nan
    numbers[234_567] = -math.inf
    told = downsample(points(numbers), 1000)
    at = dict(zip(((told.steps - 3) // 7).tolist(), told.values.tolist(), strict=True))
    assert (at[654_321], at[234_567]) == (9.0, -math.inf)
    assert math.isnan(at[123_456])
    assert len(told) <= 1000


def test_a_run_that_diverged_shows_it_to_its_end():
    numbers = [1.0] * 500 + [math.nan] * 500
    told = downsample(points(numbers), 50)
    diverged = told.steps[np.isnan(told.values)]
    assert diverged[0] <= (500 + 1000 // 16) * 7 + 3
    assert diverged[-1] == 999 * 7 + 3
    assert np.all(np.diff(diverged) <= 1000 // 15 * 7 * 2)


@pytest.mark.parametrize("count", [LEAST_POINTS + 1, 11, 12, 13])
def test_every_bucket_has_a_point_however_few_there_are(count):
    starts = buckets(count, (LEAST_POINTS - 2) // 2)
    assert np.all(np.diff([*starts, count - 1]) >= 1)
