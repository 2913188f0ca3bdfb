"""Chunks of the metric store: up to `CHUNK_POINTS` points of one metric in one row.

The chunks of a metric ascend and do not overlap, and only the last few have room left. New points
nearly always follow them. They are put together with the last chunk, unless it is much larger than
they are: so a point is written anew a few times at most, however small the portions are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select
from sqlalchemy.orm import Session

from control_api.metric_points import Points, merged, pack, unpack
from control_api.tables import MetricChunkRow

CHUNK_POINTS = 4096
_KEYS_AT_ONCE = 500
"""In one statement: databases limit how many values it may have."""

_COLUMNS = (
    MetricChunkRow.first_step,
    MetricChunkRow.last_step,
    MetricChunkRow.points,
    MetricChunkRow.steps,
    MetricChunkRow.values,
)
_DELETE = delete(MetricChunkRow).where(
    MetricChunkRow.run_id == bindparam("of_run"),
    MetricChunkRow.key == bindparam("of_key"),
    MetricChunkRow.first_step == bindparam("from_step"),
)


@dataclass
class _Change:
    """What folding does to the chunks of one metric."""

    gone: list[Points]
    made: list[Points]


def fold(session: Session, run_id: str, fresh: Mapping[str, Points]) -> None:
    """Add points to a run's chunks; of a step that they have already, theirs is kept."""
    keys = [key for key, points in fresh.items() if len(points)]
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        ends = _last_chunks(session, run_id, {key: fresh[key] for key in some})
        changes = {key: _changed(ends[key], fresh[key]) for key in some}
        gone = [
            {"of_run": run_id, "of_key": key, "from_step": int(chunk.steps[0])}
            for key, change in changes.items()
            for chunk in change.gone
        ]
        made = [_row(run_id, key, part) for key in changes for part in changes[key].made]
        if gone:
            session.connection().execute(_DELETE, gone)
        if made:
            session.execute(insert(MetricChunkRow), made)


def _last_chunks(
    session: Session, run_id: str, fresh: Mapping[str, Points]
) -> defaultdict[str, list[Points]]:
    """By metric, in order: the chunks that new points may fall into, and those with room."""
    lowest = min(int(points.steps[0]) for points in fresh.values())
    rows = session.execute(
        select(MetricChunkRow.key, *_COLUMNS)
        .where(
            MetricChunkRow.run_id == run_id,
            MetricChunkRow.key.in_(fresh),
            or_(MetricChunkRow.last_step >= lowest, MetricChunkRow.points < CHUNK_POINTS),
        )
        .order_by(MetricChunkRow.key, MetricChunkRow.first_step)
    )
    chunks: defaultdict[str, list[Points]] = defaultdict(list)
    for key, first, last, count, steps, values in rows:
        chunks[key].append(unpack(first, last, count, steps, values))
    return chunks


def _changed(chunks: Sequence[Points], fresh: Points) -> _Change:
    """Which chunks go, and what comes in their place."""
    new = fresh.without(merged(list(chunks)))
    if not len(new):
        return _Change([], [])
    kept = len(chunks)
    while kept and chunks[kept - 1].steps[-1] > new.steps[0]:
        kept -= 1  # they come out of order: from the first that they touch on, all is made anew
    size = len(new) + sum(len(chunk) for chunk in chunks[kept:])
    while kept and len(chunks[kept - 1]) < min(CHUNK_POINTS, 2 * size + 1):
        kept -= 1
        size += len(chunks[kept])
    whole = merged([*chunks[kept:], new])
    made = [whole.part(at, at + CHUNK_POINTS) for at in range(0, len(whole), CHUNK_POINTS)]
    return _Change(list(chunks[kept:]), made)


def _row(run_id: str, key: str, points: Points) -> dict[str, Any]:
    steps, values = pack(points)
    return {
        "run_id": run_id,
        "key": key,
        "first_step": int(points.steps[0]),
        "last_step": int(points.steps[-1]),
        "points": len(points),
        "steps": steps,
        "values": values,
    }
