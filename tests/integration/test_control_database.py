"""Transactions: what they see, what they keep from each other, and a database that goes away."""

import pytest
from control_bench import Bench
from databases import database_url
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from control_api.database import Database
from control_api.tables import RunRow
from midcourse.contract.base import utc_now


@pytest.fixture
def database(tmp_path):
    database = Database(database_url(tmp_path))
    yield database
    database.close()


def add_run(database, run_id):
    with database.writing() as session:
        session.add(
            RunRow(id=run_id, experiment="e", config={}, created_by="ada", created_at=utc_now())
        )


def ids(session):
    return session.scalars(select(RunRow.id).order_by(RunRow.id)).all()


def test_a_reader_sees_one_moment(database):
    add_run(database, "ra")
    with database.reading() as session:
        assert ids(session) == ["ra"]
        add_run(database, "rb")
        assert ids(session) == ["ra"]
    with database.reading() as session:
        assert ids(session) == ["ra", "rb"]


def test_what_a_reader_changes_is_not_kept(database):
    add_run(database, "ra")
    with database.reading() as session:
        session.get_one(RunRow, "ra").notes = "x"
    with database.reading() as session:
        assert session.get_one(RunRow, "ra").notes is None


@pytest.mark.only_on("postgresql")
def test_statements_stay_prepared_when_a_reader_ends(database):
    for _ in range(10):  # psycopg prepares what it has seen five times
        with database.reading() as session:
            ids(session)
    with database.reading() as session:
        prepared = session.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    assert any("FROM runs" in each for each in prepared)


def test_an_error_undoes_the_transaction(database):
    def fail():
        with database.writing() as session:
            session.add(
                RunRow(id="ra", experiment="e", config={}, created_by="ada", created_at=utc_now())
            )
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert database.fetch(select(RunRow.id)) == []


@pytest.mark.only_on("postgresql")
def test_nothing_waits_for_ever(database):
    with database.reading() as session:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        found = [session.scalar(text(f"SHOW {name}")) for name in names]
    assert found == ["30s", "2min", "1min"]


def end_connections(database, tmp_path):
    """As a restart of PostgreSQL does to those that are open."""
    other = Database(database_url(tmp_path))
    with other.engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        ).all()
    other.close()


@pytest.mark.only_on("postgresql")
def test_one_query_survives_a_lost_connection(database, tmp_path):
    add_run(database, "ra")
    end_connections(database, tmp_path)
    assert [row.id for row in database.fetch(select(RunRow.id))] == ["ra"]


@pytest.mark.only_on("postgresql")
def test_a_transaction_fails_once_and_the_next_one_has_a_good_connection(database, tmp_path):
    add_run(database, "ra")
    end_connections(database, tmp_path)
    with pytest.raises(DBAPIError):
        add_run(database, "rb")
    add_run(database, "rc")
    assert [row.id for row in database.fetch(select(RunRow.id).order_by(RunRow.id))] == ["ra", "rc"]


@pytest.mark.only_on("postgresql")
def test_a_connection_that_rested_is_tried_first(database, tmp_path, monkeypatch):
    add_run(database, "ra")
    end_connections(database, tmp_path)
    monkeypatch.setattr("control_api.dialects._TRUSTED_SECONDS", 0.0)
    add_run(database, "rb")
    assert len(database.fetch(select(RunRow.id))) == 2


def test_too_few_connections_are_a_database_that_is_away(tmp_path, monkeypatch):
    bench = Bench(tmp_path)

    def none_left(*_):
        raise PoolTimeoutError("QueuePool limit reached")

    monkeypatch.setattr(bench.database.engine.pool, "connect", none_left)
    answer = bench.ask("GET", "/runs")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/database-away")
    assert answer.headers["Retry-After"] == "1"
    bench.close()


def test_a_connection_in_use_is_closed_once_it_is_not(tmp_path):
    database = Database(database_url(tmp_path))
    with database.reading() as session:
        session.execute(text("SELECT 1"))
        held = session.connection().connection.dbapi_connection
        database.close()
        assert session.execute(text("SELECT 1")).scalar() == 1
    with pytest.raises(Exception, match="closed"):
        held.cursor().execute("SELECT 1")
