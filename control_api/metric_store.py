"""The metric store: many numbers, few rows.

What a report brings is one row, whatever the number of its points: a batch. Each time that a
run's log has grown by `HOT_BYTES`, its batches are folded into chunks, which have thousands of
points of one metric each, in the transaction that stores the report. A batch is never older than
that, so a reader has little to fold for itself.

The first value of a step is the one that is kept: a restarted trainer says again what it redoes.
The chunks of a metric ascend and do not overlap; a step that is in one is not taken again.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from sqlalchemy import Row, Select, delete, select
from sqlalchemy.orm import Session

from control_api.metric_chunks import CHUNK_POINTS, fold
from control_api.metric_points import NONE, Points, as_said, merged, unpack
from control_api.rows import insert_many
from control_api.tables import MetricBatchRow, MetricChunkRow

HOT_BYTES = 131_072
"""Of run log: how much of it may be told in batches. Readers go through all of them."""
MAX_KEY_LENGTH = 200
"""Of a metric's name, in characters."""

_PORTION = 300
"""Chunks that a reader takes at a time, so that a series of any length is read in little room."""
_KEYS_AHEAD = 500
"""In one statement: databases limit how many values it may have."""

Said = dict[str, tuple[list[int], list[float]]]
"""Metric → steps and values, in the order in which they were logged."""


@dataclass
class MetricBatch:
    """The numbers of one report."""

    run_id: str
    offset: int
    """Where the report begins in the run's log."""
    end: int = 0
    """Where it ends."""
    said: Said = field(default_factory=dict)
    last: bool = False
    """The run has ended: nothing is left to wait for."""

    @property
    def is_due(self) -> bool:
        """Whether what its run has in batches is to be folded now."""
        if self.last:
            return True
        # Runs that began together, as those of a sweep do, must not all be folded together.
        phase = crc32(self.run_id.encode()) % HOT_BYTES
        return (self.offset + phase) // HOT_BYTES != (self.end + phase) // HOT_BYTES


def store_metrics(session: Session, batches: Iterable[MetricBatch]) -> None:
    """Keep the numbers of many reports, of one run or of many; each run's in order.

    The caller holds the rows of the runs for change. Reports that are not due cost one statement
    together.
    """
    waiting: list[dict[str, Any]] = []
    for batch in batches:
        if batch.is_due:
            insert_many(session, MetricBatchRow, waiting)
            waiting = []
            _seal(session, batch.run_id, batch.said)
        elif batch.said:
            waiting.append(
                {"run_id": batch.run_id, "log_offset": batch.offset, "data": _spell(batch.said)}
            )
    insert_many(session, MetricBatchRow, waiting)


def seal_metrics(session: Session, run_id: str) -> None:
    """Fold what a run has in batches, such as when it has ended."""
    _seal(session, run_id, {})


def _seal(session: Session, run_id: str, latest: Said) -> None:
    stored = _batches(session, run_id)
    fold(session, run_id, _points_by_key([*stored, latest]))
    if stored:
        session.execute(delete(MetricBatchRow).where(MetricBatchRow.run_id == run_id))


def _batches(session: Session, run_id: str) -> list[Said]:
    rows = session.scalars(
        select(MetricBatchRow.data)
        .where(MetricBatchRow.run_id == run_id)
        .order_by(MetricBatchRow.log_offset)
    )
    return _read(rows)


def _points_by_key(batches: Iterable[Said]) -> dict[str, Points]:
    said: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for batch in batches:
        for key, (steps, values) in batch.items():
            said[key][0].extend(steps)
            said[key][1].extend(values)
    return {key: as_said(steps, values) for key, (steps, values) in said.items()}


# In the words of Python's JSON, which has NaN and the infinities, and spells floats exactly.
def _spell(said: Said) -> str:
    return json.dumps(said, separators=(",", ":"))


def _read(batches: Iterable[str]) -> list[Said]:
    said: list[Said] = json.loads(f"[{','.join(batches)}]")
    return said


_ChunkRow = Row[str, int, int, int, bytes | None, bytes]


def _unpacked(row: _ChunkRow) -> Points:
    return unpack(row.first_step, row.last_step, row.points, row.steps, row.values)


def _chunks_of(
    run_id: str, first: int | None, last: int | None
) -> Select[str, int, int, int, bytes | None, bytes]:
    chunks = select(
        MetricChunkRow.key,
        MetricChunkRow.first_step,
        MetricChunkRow.last_step,
        MetricChunkRow.points,
        MetricChunkRow.steps,
        MetricChunkRow.values,
    ).where(MetricChunkRow.run_id == run_id)
    if first is not None:
        chunks = chunks.where(MetricChunkRow.last_step >= first)
    if last is not None:
        chunks = chunks.where(MetricChunkRow.first_step <= last)
    return chunks


class MetricReader:
    """The metrics of one run, as they are when it is made, or later.

    What is in batches is read first: then nothing is missed that is folded meanwhile, and what is
    found twice counts once.
    """

    def __init__(self, session: Session, run_id: str) -> None:
        self._session = session
        self._run_id = run_id
        self._hot = _points_by_key(_batches(session, run_id))
        self._ahead: dict[str, list[_ChunkRow]] = {}
        """All chunks of some metrics, of the stretch that was asked for."""

    def read_ahead(self, keys: Sequence[str], *, first: int | None, last: int | None) -> None:
        """Read the chunks of many short series by one query; `points` must ask for this stretch."""
        some = keys[:_KEYS_AHEAD]
        chunks = _chunks_of(self._run_id, first, last).where(MetricChunkRow.key.in_(some))
        ordered = chunks.order_by(MetricChunkRow.key, MetricChunkRow.first_step).limit(_PORTION)
        rows = self._session.execute(ordered).all()
        if len(rows) < _PORTION:
            self._ahead = {key: [] for key in some}
        for row in rows:
            self._ahead.setdefault(row.key, []).append(row)
        if len(rows) == _PORTION:
            del self._ahead[rows[-1].key]  # there may be more of it

    def points(
        self,
        key: str,
        *,
        first: int | None = None,
        last: int | None = None,
        at_most: int | None = None,
    ) -> Points:
        """The points of a metric, of the steps from `first` to `last`; none if it has none.

        Args:
            key: the metric's name.
            first: the lowest step; None: from the beginning.
            last: the highest step; None: to the end.
            at_most: how many of them, the earliest; None: all.
        """
        parts, found = [], 0
        portion = _PORTION if at_most is None else at_most // CHUNK_POINTS + 8
        for chunk in self._chunks(key, first, last, portion):
            part = chunk.between(first, last)
            parts.append(part)
            found += len(part)
            if at_most is not None and found >= at_most:
                break
        points = merged([merged(parts), self._hot.get(key, NONE).between(first, last)])
        return points.part(0, at_most)

    def _chunks(
        self, key: str, first: int | None, last: int | None, portion: int
    ) -> Iterator[Points]:
        """Chunks that have steps from `first` to `last`, so many rows at a time."""
        if key in self._ahead:
            yield from map(_unpacked, self._ahead[key])
            return
        chunks = _chunks_of(self._run_id, first, last).where(MetricChunkRow.key == key)
        chunks = chunks.order_by(MetricChunkRow.first_step).limit(portion)
        rows = self._session.execute(chunks).all()
        while rows:
            yield from map(_unpacked, rows)
            following = chunks.where(MetricChunkRow.first_step > rows[-1].first_step)
            rows = self._session.execute(following).all() if len(rows) == portion else []
