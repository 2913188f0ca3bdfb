"""The database: transactions and migrations. `control_api.dialects` has what differs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    JSON,
    Connection,
    Executable,
    Row,
    Table,
    TableValuedAlias,
    bindparam,
    column,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from control_api.bell import EVENTS, RECONCILER, Bell, run_key
from control_api.columns import Base
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
        self._is_postgresql = self.engine.dialect.name == "postgresql"
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = self.engine.execution_options(**(snapshot if self._is_postgresql else {}))
        single = {"isolation_level": "AUTOCOMMIT"} if self._is_postgresql else {}
        self._fetcher = self.engine.execution_options(**single)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view; what is changed in it is not kept."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    def fetch(self, query: Executable) -> Sequence[Row[Any]]:
        """The rows of one query, without the cost of a transaction around it."""
        try:
            return self._fetch(query)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._fetch(query)  # the connection was lost; a new one may be had

    def _fetch(self, query: Executable) -> Sequence[Row[Any]]:
        with self._fetcher.connect() as connection:
            return connection.execute(query).all()

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
            if self._is_postgresql:
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


def insert_new(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows; those whose key is there already are left as they are."""
    if rows:
        insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else pg_insert
        session.execute(insert(table).on_conflict_do_nothing(), rows)


def insert_many(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns, of text and numbers, by one statement."""
    if not rows:
        return
    into = table.__table__
    assert isinstance(into, Table)
    if session.get_bind().dialect.name == "postgresql":
        told = told_rows(into, tuple(rows[0]))
        statement = insert(into).from_select(list(rows[0]), select(told))
        session.connection().execute(statement, {"rows": rows})
    else:
        session.connection().execute(insert(into), rows)


def told_rows(table: Table, columns: tuple[str, ...]) -> TableValuedAlias:
    """Of PostgreSQL: rows that a statement is told as one JSON value, its parameter `rows`.

    A driver would send many rows one after the other, and escape each text of an array.
    """
    told = func.json_to_recordset(bindparam("rows", type_=JSON))
    types = [column(name, table.c[name].type) for name in columns]
    return told.table_valued(*types, name="told").render_derived(with_types=True)


def migration_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; needs no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
