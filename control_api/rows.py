"""Rows in numbers: told to the database by one statement.

A driver would send many rows one after the other, and escape each text of an array; PostgreSQL is
told them as one JSON value.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Insert,
    Table,
    TableValuedAlias,
    bindparam,
    column,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from control_api.columns import Base
from control_api.dialects import execute_and_commit

Rows = Sequence[dict[str, Any]]
"""All with the same columns."""


def insert_new(session: Session, table: type[Base], rows: Rows) -> None:
    """Insert rows; those whose key is there already are left as they are."""
    if rows:
        insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else pg_insert
        session.execute(insert(table).on_conflict_do_nothing(), rows)


def insert_many(session: Session, table: type[Base], rows: Rows) -> None:
    """Insert rows of text and numbers."""
    if not rows:
        return
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_insert_told(table, tuple(rows[0])), telling(rows))
    else:
        session.connection().execute(insert(_table(table)), rows)


def insert_in_turn_and_commit(session: Session, table: type[Base], rows: Rows, key: int) -> None:
    """Insert rows whose numbers are in the order of the commits; ends the transaction.

    Transactions that name the same key do this one after the other. In PostgreSQL it is one round
    trip: if their turn lasted while a busy process comes to say COMMIT, others would queue for it.
    """
    if session.get_bind().dialect.name == "postgresql":
        execute_and_commit(session, _insert_told(table, tuple(rows[0]), key), telling(rows))
    else:  # SQLite has one writer at a time anyway
        session.connection().execute(insert(_table(table)), rows)


@cache  # to make it costs more than to execute it
def _insert_told(table: type[Base], columns: tuple[str, ...], key: int | None = None) -> Insert:
    told = told_rows(table, columns)
    rows = select(told)
    if key is not None:
        turn = select(func.pg_advisory_xact_lock(key)).cte("turn")
        rows = rows.select_from(told.join(turn, true()))
    return insert(_table(table)).from_select(columns, rows)


@cache
def told_rows(table: type[Base], columns: tuple[str, ...]) -> TableValuedAlias:
    """Of PostgreSQL: rows that a statement is told by `telling`."""
    told = func.json_to_recordset(bindparam("rows", type_=JSON))
    types = [column(name, _table(table).c[name].type) for name in columns]
    return told.table_valued(*types, name="told").render_derived(with_types=True)


def _table(table: type[Base]) -> Table:
    core = table.__table__
    assert isinstance(core, Table)
    return core


def telling(rows: Rows) -> dict[str, Any]:
    """The parameters of a statement with `told_rows`."""
    return {"rows": [{name: _as_json(value) for name, value in row.items()} for row in rows]}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):  # as `control_api.columns.Moment` keeps it
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return value
