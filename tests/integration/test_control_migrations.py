from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from control_bench import Bench, metrics
from sqlalchemy import inspect

from control_api.database import Database
from control_api.tables import Base


def test_migrations_make_what_the_code_expects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no alembic.ini here
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


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


def test_sqlite_is_set_up_for_many_readers_and_keeps_foreign_keys(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with database.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}
    database.close()
