import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from control_bench import Bench, metrics
from databases import database_url
from sqlalchemy import inspect, select

from control_api.columns import Base
from control_api.database import Database
from control_api.tables import CommandRow, RunRow
from midcourse.contract.base import utc_now

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path):
    """With no tables."""
    database = Database(database_url(tmp_path))
    database.undo_migrations()
    yield database
    database.close()


def foreign_keys_that_point_nowhere(database):
    """PostgreSQL does not let any be."""
    if database.engine.dialect.name == "postgresql":
        return []
    with database.engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA foreign_key_check").all()


def test_migrations_make_what_the_code_expects(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no alembic.ini here
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_down_and_up_with_data_in_the_tables(tmp_path):
    bench = Bench(tmp_path)
    trainer = bench.submit()
    trainer.say(trainer.started(), metrics(0, loss=1.0), trainer.checkpoint())
    bench.post(f"/runs/{trainer.run}/pause", expect=202)
    bench.database.undo_migrations()
    assert inspect(bench.database.engine).get_table_names() == ["alembic_version"]
    bench.database.migrate()
    bench.database.migrate()  # a second start finds nothing to do
    assert "runs" in inspect(bench.database.engine).get_table_names()
    bench.close()


def test_what_the_first_version_stored_is_there_after_the_last(database):
    database.migrate("0001")
    with database.engine.execution_options(writes=True).begin() as connection:
        for statement in FIRST_VERSION.split(";"):
            connection.exec_driver_sql(statement)
    for _ in range(2):
        database.migrate()
        with database.reading() as session:
            run, command = session.get_one(RunRow, "rb"), session.get_one(CommandRow, ("ra", 1))
        assert (run.parent_id, run.replay, run.warm_start) == ("ra", None, False)
        assert (command.state, command.at, command.dry_run) == ("applied", None, False)
        assert foreign_keys_that_point_nowhere(database) == []
        database.undo_migrations("0001")
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == 2
    assert foreign_keys_that_point_nowhere(database) == []


def test_what_came_of_wandb_has_words_of_an_earlier_version_for_it(database):
    database.migrate()
    columns = {"experiment": "e", "config": {}, "created_by": "admin", "created_at": utc_now()}
    with database.writing() as session:
        there = {**columns, "source": "lab/digits/rfar"}
        session.add(RunRow(id="rfar", status="imported", **there))
        session.add(RunRow(id="rwaits", status="queued", **{**columns, "source": "l/d/r@best"}))
        session.add(RunRow(id="rqueued", status="queued", **columns))
    database.undo_migrations("0008")
    database.migrate()
    with database.reading() as session:
        runs = {run.id: run for run in session.scalars(select(RunRow))}
    told = {name: (run.status, run.ended_at is not None) for name, run in runs.items()}
    assert told == {
        "rfar": ("stopped", True),
        "rwaits": ("failed", True),
        "rqueued": ("queued", False),
    }
    assert "waited for its checkpoint from W&B" in runs["rwaits"].error


MIGRATE = "import sys; from control_api.database import Database; Database(sys.argv[1]).migrate()"


def test_many_processes_may_migrate_at_once(database):
    """Each server that starts brings the tables up to date: one does it, the others wait."""
    url = database.engine.url.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url], cwd=CHECKOUT) for _ in range(3)
    ]
    assert [process.wait(50) for process in processes] == [0, 0, 0]
    assert "runs" in inspect(database.engine).get_table_names()


RUN_COLUMNS = """id, experiment, config, desired, status, created_by, created_at, parent_id,
changes, reverts, pinned, last_seq, live_values, revision, latest, summary, attempt, log_offset"""
FIRST_VERSION = f"""
INSERT INTO runs ({RUN_COLUMNS}) VALUES
('ra', 'e', '{{}}', 'trained', 'running', 'admin', '2026-01-01 00:00:00', NULL,
'{{}}', false, false, 1, '{{}}', 1, '{{}}', '{{}}', 1, 10),
('rb', 'e', '{{}}', 'trained', 'queued', 'admin', '2026-01-01 00:00:00', 'ra',
'{{}}', false, false, 0, '{{}}', 0, '{{}}', '{{}}', 0, 0);
INSERT INTO commands (run_id, seq, action, actor, accepted_at, state) VALUES
('ra', 1, '{{"kind": "pause"}}', 'admin', '2026-01-01 00:00:00', 'applied')
"""


@pytest.mark.only_on("sqlite")
def test_sqlite_is_set_up_for_many_readers_and_keeps_foreign_keys(database):
    with database.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}
