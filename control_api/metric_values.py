"""Values of metrics in the words of JSON, which has none for what is no number."""

import math

from midcourse.contract.records import MetricValue


def metric_value(number: float) -> MetricValue:
    """A metric's value as JSON says it."""
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"
