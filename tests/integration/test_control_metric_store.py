"""The metric store keeps what was said, whatever the sizes of reports, batches and chunks."""

import math
import random
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from databases import database_url
from sqlalchemy import event, func, select

from control_api import metric_chunks, metric_store
from control_api.database import Database
from control_api.metric_store import (
    MetricBatch,
    MetricReader,
    seal_metrics,
    store_metrics,
)
from control_api.tables import MetricBatchRow, MetricChunkRow, RunRow
from midcourse.contract.base import utc_now


@pytest.fixture
def database(tmp_path):
    database = Database(database_url(tmp_path))
    with database.writing() as session:
        for name in ("ra", "rb"):
            session.add(
                RunRow(id=name, experiment="e", config={}, created_by="admin", created_at=utc_now())
            )
    yield database
    database.close()


class Log:
    """A run's log that grows by reports."""

    def __init__(self, run):
        self.run, self.size = run, 0
        self.first = defaultdict(dict)

    def report(self, *said, size=100, last=False):
        """Of (metric, step, value); what was said first of a step is remembered."""
        batch = MetricBatch(self.run, self.size, self.size + size, last=last)
        for key, step, value in said:
            steps, values = batch.said.setdefault(key, ([], []))
            steps.append(step)
            values.append(value)
            self.first[key].setdefault(step, value)
        self.size += size
        return batch


def store(database, *batches):
    with database.writing() as session:
        store_metrics(session, batches)


def points(database, run, key, **options):
    with database.reading() as session:
        found = MetricReader(session, run).points(key, **options)
    return list(zip(found.steps.tolist(), map(repr, found.values.tolist()), strict=True))


def expected(log, key):
    return [(step, repr(value)) for step, value in sorted(log.first[key].items())]


def count(database, table):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def chunks(database, run, key):
    with database.reading() as session:
        rows = session.execute(
            select(MetricChunkRow.first_step, MetricChunkRow.last_step, MetricChunkRow.points)
            .where(MetricChunkRow.run_id == run, MetricChunkRow.key == key)
            .order_by(MetricChunkRow.first_step)
        )
        return [tuple(row) for row in rows]


def check_shape(found, full):
    """Chunks ascend, do not overlap, and only the last ones have room left."""
    for before, after in pairwise(found):
        assert before[1] < after[0]
        assert before[2] >= after[2]
    assert all(points <= full for _, _, points in found)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_read_is_what_was_said_first(database, monkeypatch, seed):
    chance = random.Random(seed)
    monkeypatch.setattr(metric_store, "HOT_BYTES", 1000)
    monkeypatch.setattr(metric_chunks, "CHUNK_POINTS", 16)
    monkeypatch.setattr(metric_store, "_PORTION", 3)
    logs = [Log("ra"), Log("rb")]
    step = dict.fromkeys("ab", 0)
    for _ in range(60):
        group = []
        for log in chance.sample(logs, chance.randint(1, 2)):
            key_step = step[log.run[1]]
            if chance.random() < 0.1:  # a crash: what follows is said again, and may differ
                key_step = max(0, key_step - chance.randint(1, 60))
            said = []
            for _ in range(chance.choice([0, 1, 1, 5, 40])):
                value = chance.choice([chance.random(), math.nan, math.inf, -math.inf, 0.1])
                said.append(("loss", key_step, value))
                if key_step % 3 == 0:
                    said.append(("eval", chance.choice([key_step, key_step // 2]), value))
                key_step += chance.choice([1, 1, 1, 2])
            step[log.run[1]] = key_step
            group.append(log.report(*said, size=chance.choice([10, 100, 700, 5000])))
        store(database, *group)
        log, key = chance.choice(logs), chance.choice(["loss", "eval"])
        assert points(database, log.run, key) == expected(log, key)
        check_shape(chunks(database, log.run, key), 16)
    assert count(database, MetricChunkRow) > 10
    for log in logs:
        for key in ("loss", "eval"):
            whole = expected(log, key)
            first, last = sorted(chance.choice(whole)[0] for _ in range(2))
            within = [pair for pair in whole if first <= pair[0] <= last]
            assert points(database, log.run, key, first=first, last=last) == within
            assert (
                points(database, log.run, key, first=first, at_most=5)
                == [pair for pair in whole if first <= pair[0]][:5]
            )
        with database.writing() as session:
            seal_metrics(session, log.run)
            seal_metrics(session, log.run)
        assert points(database, log.run, "loss") == expected(log, "loss")
    assert count(database, MetricBatchRow) == 0


def test_small_reports_are_a_row_each_until_their_log_has_grown(database):
    log = Log("ra")
    size = metric_store.HOT_BYTES // 100
    rows = []
    for step in range(250):
        store(database, log.report(("loss", step, 1.0), ("lr", step, 0.1), size=size))
        rows.append(count(database, MetricBatchRow))
    assert all(after in (before + 1, 0) for before, after in pairwise(rows))
    folded = [step for step, found in enumerate(rows) if not found]
    assert len(folded) in (2, 3)
    assert all(100 <= after - before <= 101 for before, after in pairwise(folded))
    kept = chunks(database, "ra", "loss")
    assert (kept[0][0], kept[-1][1]) == (0, folded[-1])
    assert chunks(database, "ra", "lr") == chunks(database, "ra", "loss")
    assert points(database, "ra", "loss") == expected(log, "loss")


@pytest.mark.only_on("sqlite")
def test_runs_that_begin_together_are_not_folded_together():
    size = metric_store.HOT_BYTES // 100

    def first_folded(run):
        reports = (MetricBatch(run, at * size, (at + 1) * size) for at in range(102))
        return next(at for at, report in enumerate(reports) if report.is_due)

    folded = Counter(first_folded(f"r{number}") for number in range(1000))
    assert len(folded) > 90
    assert max(folded.values()) < 40


def test_the_reports_of_many_runs_are_one_statement(database):
    statements = []
    with database.writing() as session:
        event.listen(
            session.connection(),
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_rest: statements.append(statement),
        )
        store_metrics(session, [Log(run).report(("loss", 0, 1.0)) for run in ("ra", "rb")])
    assert len(statements) == 1
    assert points(database, "ra", "loss") == points(database, "rb", "loss") == [(0, "1.0")]


def test_a_report_without_numbers_leaves_nothing(database):
    store(database, Log("ra").report())
    assert count(database, MetricBatchRow) == 0


def test_a_run_that_has_ended_has_no_batches(database):
    log = Log("ra")
    store(database, log.report(("loss", 0, 1.0)), log.report(("loss", 1, 2.0), last=True))
    assert count(database, MetricBatchRow) == 0
    assert chunks(database, "ra", "loss") == [(0, 1, 2)]


def test_points_that_come_in_small_portions_are_not_written_again_each_time(database, monkeypatch):
    monkeypatch.setattr(metric_store, "HOT_BYTES", 1)
    monkeypatch.setattr(metric_chunks, "CHUNK_POINTS", 128)
    written = []
    row = metric_chunks._row

    def counted(run, key, points):
        written.append(len(points))
        return row(run, key, points)

    monkeypatch.setattr(metric_chunks, "_row", counted)
    log = Log("ra")
    for step in range(150):
        store(database, log.report(("loss", step, 0.5)))
    assert points(database, "ra", "loss") == expected(log, "loss")
    assert sum(written) < 150 * 8  # all of the last chunk each time would be more than 8,000
    assert len(chunks(database, "ra", "loss")) < 8


def test_more_metrics_than_a_statement_may_name(database):
    log = Log("ra")
    said = [(f"layer.{number}/norm", step, 0.5) for number in range(1200) for step in range(2)]
    store(database, log.report(*said, size=metric_store.HOT_BYTES))
    store(database, log.report(*[(key, step + 2, value) for key, step, value in said], last=True))
    assert count(database, MetricChunkRow) == 1200
    assert points(database, "ra", "layer.1199/norm") == expected(log, "layer.1199/norm")


def test_chunks_take_eight_bytes_a_point_where_steps_are_even(database):
    log = Log("ra")
    store(database, log.report(*[("loss", step, 0.5) for step in range(10_000)], last=True))
    with database.reading() as session:
        rows = session.execute(
            select(MetricChunkRow.points, MetricChunkRow.steps, MetricChunkRow.values)
        )
        found = [(count, steps, len(values)) for count, steps, values in rows]
    assert sorted(found) == [(1808, None, 8 * 1808), (4096, None, 8 * 4096), (4096, None, 8 * 4096)]


def test_a_reader_that_began_before_a_fold_misses_nothing(database):
    log = Log("ra")
    store(database, log.report(("loss", 0, 1.0)), log.report(("loss", 1, 2.0)))
    with database.reading() as session:
        reader = MetricReader(session, "ra")
        with database.writing() as other:
            seal_metrics(other, "ra")
        found = reader.points("loss")
    assert (found.steps.tolist(), found.values.tolist()) == ([0, 1], [1.0, 2.0])


@pytest.mark.parametrize("portion", [1, 2, 3, 5, 7, 8, 9, 300])
@pytest.mark.parametrize(("first", "last"), [(None, None), (2, 5), (90, None)])
def test_what_is_read_ahead_is_what_is_there(database, monkeypatch, portion, first, last):
    monkeypatch.setattr(metric_chunks, "CHUNK_POINTS", 3)
    log = Log("ra")
    said = [(key, step, step + 0.5) for step in range(8) for key in ("a", "b", "c")]
    store(database, log.report(*said), log.report(("b", 9, 9.0)))
    with database.writing() as session:
        seal_metrics(session, "ra")
    store(database, log.report(("a", 8, 1.0), ("d", 8, 2.0)))
    keys = ["a", "b", "c", "d", "none"]
    with database.reading() as session:
        each = {
            key: MetricReader(session, "ra").points(key, first=first, last=last) for key in keys
        }
        monkeypatch.setattr(metric_store, "_PORTION", portion)
        reader = MetricReader(session, "ra")
        reader.read_ahead(keys, first=first, last=last)
        for key in keys:
            found = reader.points(key, first=first, last=last)
            assert found.steps.tolist() == each[key].steps.tolist(), key
            assert found.values.tolist() == each[key].values.tolist(), key
