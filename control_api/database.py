"""The database: transactions and migrations. `control_api.dialects` has what differs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Executable, Row, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from control_api.bell import EVENTS, RECONCILER, Bell, run_key
from control_api.dialects import make_engine, take_turns
from control_api.events import store_events

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6D63_6D69
"""Of PostgreSQL: of all processes that start, one migrates. SQLite has one writer anyway."""


class Database:
    """Transactions on the one database. Read with `reading`, change with `writing`."""

    def __init__(self, url: str, bell: Bell | None = None) -> None:
        self.engine = make_engine(url)
        self.bell = bell or Bell()
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = self.engine.execution_options(**(snapshot if self.is_postgresql else {}))
        single = {"isolation_level": "AUTOCOMMIT"} if self.is_postgresql else {}
        self._fetcher = self.engine.execution_options(**single)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view; what is changed in it is not kept."""
        with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session
            session.expunge_all()
            session.commit()  # at a rollback, psycopg forgets which statements are prepared

    @contextmanager
    def looking(self) -> Iterator[Session]:
        """Queries without the cost of a transaction around them: each sees what there is then."""
        with Session(self._fetcher, expire_on_commit=False) as session:
            yield session

    def fetch(
        self, query: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """The rows of one query, without the cost of a transaction around it."""
        try:
            return self._fetch(query, parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._fetch(query, parameters)  # a new connection may be had

    def _fetch(self, query: Executable, parameters: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
        with self._fetcher.connect() as connection:
            return connection.execute(query, parameters).all()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: all of it is kept at the end, or none if an error leaves the block."""
        writer = self.engine.execution_options(writes=True)
        with Session(writer, expire_on_commit=False) as session:
            with session.begin():
                yield session
                changed = store_events(session)
            self.ring(changed)

    def ring(self, changed: set[str]) -> None:
        """Tell those who wait in this process that runs have changed."""
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
            if self.is_postgresql:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                take_turns(connection, _MIGRATION_LOCK)
            yield migration_config(connection)

    def close(self) -> None:
        """Let go of all connections; one that is in use is closed as soon as it is not."""
        event.listen(self.engine, "checkin", _close_connection)
        self.engine.dispose()


def _close_connection(connection: DBAPIConnection | None, _: object) -> None:
    if connection is not None:  # else it was lost
        connection.close()


def migration_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; needs no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
