"""The metric store takes over what the table of single numbers held, and gives it back."""

import json
import math

import pytest
from databases import database_url
from sqlalchemy import text

from control_api.database import Database
from control_api.metric_store import MetricBatch, MetricReader, store_metrics

RUNS = """id, experiment, config, desired, status, created_by, created_at, changes, reverts,
pinned, last_seq, live_values, revision, latest, summary, attempt, log_offset"""
RUN = "'e', '{}', 'trained', 'running', 'admin', '2026-01-01', '{}'"
REST = "0, '{}', 0, '{}', '{}', 1, 0"


@pytest.fixture
def database(tmp_path):
    database = Database(database_url(tmp_path))
    database.undo_migrations("0003")
    yield database
    database.close()


def insert_runs(database):
    with database.engine.execution_options(writes=True).begin() as connection:
        no = "false" if database.engine.dialect.name == "postgresql" else "0"
        for run in ("ra", "rb"):
            connection.execute(
                text(f"INSERT INTO runs ({RUNS}) VALUES ('{run}', {RUN}, {no}, {no}, {REST})")
            )


def old_rows(database):
    with database.engine.connect() as connection:
        rows = connection.execute(text('SELECT run_id, "key", step, value FROM metrics'))
        return sorted(tuple(row) for row in rows if row[3] is not None), sorted(
            tuple(row[:3])
            for row in connection.execute(
                text('SELECT run_id, "key", step, value FROM metrics WHERE value IS NULL')
            )
        )


def given():
    """More than a chunk of one metric, uneven steps, names with commas, and what is no number."""
    rows = [("ra", "loss", step, 1 / (step + 1)) for step in range(9000)]
    rows += [("ra", "eval,é", step * step, -float(step)) for step in range(50)]
    rows += [("rb", "loss", 2**53 - 1, 0.1), ("rb", "lr", 0, math.inf), ("rb", "lr", 3, -math.inf)]
    return rows, [("ra", "nan", 7), ("rb", "loss", 5)]


def test_all_numbers_survive_the_way_up_and_the_way_down(database):
    insert_runs(database)
    numbers, nans = given()
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(
            text("INSERT INTO metrics VALUES (:run, :key, :step, :value)"),
            [dict(zip(("run", "key", "step", "value"), row, strict=True)) for row in numbers]
            + [
                dict(zip(("run", "key", "step"), row, strict=True)) | {"value": None}
                for row in nans
            ],
        )
    before = old_rows(database)
    for _ in range(2):
        database.migrate("0004")
        with database.reading() as session:
            reader = MetricReader(session, "ra")
            assert reader.points("loss").values.tolist() == [1 / (step + 1) for step in range(9000)]
            assert reader.points("eval,é").steps.tolist() == [step * step for step in range(50)]
            assert math.isnan(reader.points("nan").values[0])
            rb = MetricReader(session, "rb")
            assert rb.points("loss").steps.tolist() == [5, 2**53 - 1]
            assert rb.points("lr").values.tolist() == [math.inf, -math.inf]
        database.undo_migrations("0003")
        assert old_rows(database) == before


def test_what_the_store_holds_in_any_form_goes_down_with_the_first_value(database):
    insert_runs(database)
    database.migrate("0004")

    def batch(start, size, last=False, **said):
        return MetricBatch("ra", start, start + size, said, last=last)

    with database.writing() as session:
        store_metrics(session, [batch(0, 10, True, loss=([0, 2, 3], [1.0, math.nan, 3.0]))])
        store_metrics(session, [batch(10, 10, loss=([3, 4, 4], [9.0, 4.0, 9.0]))])
        store_metrics(session, [batch(20, 10, loss=([4, 1], [9.0, math.inf]))])
        stored = session.scalars(text("SELECT data FROM metric_batches")).all()
    assert [len(json.loads(data)["loss"][0]) for data in stored] == [3, 2]
    database.undo_migrations("0003")
    assert old_rows(database) == (
        [
            ("ra", "loss", 0, 1.0),
            ("ra", "loss", 1, math.inf),
            ("ra", "loss", 3, 3.0),
            ("ra", "loss", 4, 4.0),
        ],
        [("ra", "loss", 2)],
    )
    database.migrate("0004")
    with database.reading() as session:
        assert MetricReader(session, "ra").points("loss").steps.tolist() == [0, 1, 2, 3, 4]
