"""The database: engine, transactions, migrations."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from control_api.bell import EVENTS, RECONCILER, Bell, run_key
from control_api.columns import Base
from control_api.events import store_events

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30


class Database:
    """Transactions on the one database. Read with `reading`, change with `writing`."""

    def __init__(self, url: str, bell: Bell | None = None) -> None:
        self.engine = create_engine(url, pool_size=20, max_overflow=40, pool_pre_ping=True)
        self.bell = bell or Bell()
        if self.engine.dialect.name == "sqlite":
            _set_up_sqlite(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view; what is changed in it is not kept."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: all of it is kept at the end, or none if an error leaves the block."""
        writer = self.engine.execution_options(writes=True)
        with Session(writer, expire_on_commit=False) as session:
            with session.begin():
                yield session
                changed = store_events(session)
            if changed:
                for run_id in changed:
                    self.bell.ring(run_key(run_id))
                self.bell.ring(RECONCILER)
                self.bell.ring(EVENTS)

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables up to a revision; nothing happens where they have it."""
        with self._migrating() as config:
            command.upgrade(config, revision)

    def undo_migrations(self, revision: str = "base") -> None:
        """Take the tables back to a revision (`base`: none are left)."""
        with self._migrating() as config:
            command.downgrade(config, revision)

    @contextmanager
    def _migrating(self) -> Iterator[Config]:
        with self.engine.execution_options(writes=True).begin() as connection:
            yield migration_config(connection)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def insert_new(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows; those whose key is there already are left as they are."""
    if rows:
        insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else pg_insert
        session.execute(insert(table).on_conflict_do_nothing(), rows)


def migration_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; needs no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _set_up_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            f"busy_timeout = {BUSY_SECONDS * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail at the write if another came
        # between, without waiting: so a writer takes its place at once.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
