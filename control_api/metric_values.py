"""Values of metrics as the database holds them, and as JSON says them."""

import math

from midcourse.contract.records import MetricValue


def plain_number(value: MetricValue) -> float | None:
    """A metric's value as the database holds it: NaN is null."""
    number = float(value)
    return None if math.isnan(number) else number


def metric_value(number: float | None) -> MetricValue:
    """The inverse of `plain_number`, in the words of JSON."""
    if number is None:
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number
