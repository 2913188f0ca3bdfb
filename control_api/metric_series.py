"""Series as clients ask for them: a stretch of a metric, page by page or told by a few points."""

import re
from collections.abc import Sequence

from control_api.downsampling import LEAST_POINTS, downsample
from control_api.metric_points import Points
from control_api.metric_store import MetricReader
from control_api.metric_values import metric_value
from midcourse.contract.api.metrics import MetricsQuery, Series

MOST_POINTS = 1_000_000
"""Of all series of one answer together."""

_NAME = re.compile(r"(?:[^\\,]|\\.|\\$)+", re.DOTALL)


def asked_keys(text: str) -> list[str]:
    r"""Metric names out of a query, in order, each once.

    Commas stand between them, with or without spaces. A name that has a comma, a backslash or a
    space at its ends is written with a backslash before that: `a\,b`.
    """
    names = {_plain(name) for name in _NAME.findall(text)}
    return sorted(names - {""})


def _plain(name: str) -> str:
    spaces = re.fullmatch(r"\s*((?:[^\\]|\\.)*?)\s*", name, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", spaces[1] if spaces else name, flags=re.DOTALL)


def series_of(reader: MetricReader, keys: Sequence[str], query: MetricsQuery) -> dict[str, Series]:
    """The series of some metrics; of very many, each has fewer points than were asked for."""
    share = max(LEAST_POINTS, MOST_POINTS // max(1, len(keys)))
    if query.max_points is not None and len(keys) > 1:
        reader.read_ahead(keys, first=query.since_step, last=query.until_step)
    make = _page if query.max_points is None else _overview
    return {key: make(reader, key, query, share) for key in keys}


def _page(reader: MetricReader, key: str, query: MetricsQuery, share: int) -> Series:
    limit = min(query.limit or MetricsQuery.DEFAULT_LIMIT, share)
    points = reader.points(key, first=query.since_step, last=query.until_step, at_most=limit + 1)
    more = len(points) > limit
    return _series(points.part(0, limit), int(points.steps[limit]) if more else None)


def _overview(reader: MetricReader, key: str, query: MetricsQuery, share: int) -> Series:
    points = reader.points(key, first=query.since_step, last=query.until_step)
    return _series(downsample(points, min(query.max_points or share, share)), None)


def _series(points: Points, next_step: int | None) -> Series:
    return Series(
        steps=points.steps.tolist(),
        values=[metric_value(value) for value in points.values.tolist()],
        next_step=next_step,
    )
