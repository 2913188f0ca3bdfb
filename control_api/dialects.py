"""What SQLite and PostgreSQL each need to be told; everything else is the same for both."""

import json
import math
import re
import sqlite3
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic_core import from_json
from sqlalchemy import (
    ARRAY,
    URL,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    String,
    any_,
    create_engine,
    event,
    literal,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from midcourse.contract.base import strict_json_loads

AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
"""Errors of a database that does not answer, or not in time; what was under way was undone."""

BUSY_SECONDS = 30
"""How long a transaction waits for another."""
_BUSY_LOOK_SECONDS = 0.002
_STATEMENT_SECONDS = 120
_IDLE_SECONDS = 60
"""So long may a transaction of PostgreSQL do nothing: a process that hangs must not keep rows."""
_TRUSTED_SECONDS = 5.0
"""A connection that rested for longer is tried before it is used."""
_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_LOST = "\ufffd"
"""Stands for characters that a database cannot hold: NUL, and halves of surrogate pairs."""


def make_engine(url: str) -> Engine:
    """An engine for a database's address; nothing is opened yet.

    Raises:
        ArgumentError: it is no address.
    """
    address = _with_driver(url)
    sqlite = address.get_backend_name() == "sqlite"
    engine = create_engine(
        address,
        json_serializer=storable_json,
        json_deserializer=stored_json,
        hide_parameters=True,  # the text of an error is logged; what was to be stored is not
        **({} if sqlite else {"isolation_level": "READ COMMITTED"}),
        # None beyond those that are kept: to open one, now and then, costs more than to have it.
        pool_size=60 if sqlite else 20,
        max_overflow=0,
        # Few that are busy, in place of many that are not: each prepares its own statements.
        pool_use_lifo=True,
    )
    if sqlite:
        _set_up_sqlite(engine)
    elif engine.dialect.name == "postgresql":
        _set_up_postgresql(engine)
    return engine


def _with_driver(url: str) -> URL:
    """The address with the driver that we have: people write `postgresql://` or `postgres://`."""
    address = make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    return address


def storable_json(value: Any) -> str:
    """JSON that either database takes, and can look into: what it cannot hold is replaced.

    Infinite numbers and NaN become words, as in metrics.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except ValueError:
        text = ""
    if text and "\\u0000" not in text:
        return text
    return json.dumps(storable(value), ensure_ascii=False, separators=(",", ":"))


def stored_json(text: str) -> Any:
    """What was stored. Lists of runs are mostly JSON: pydantic's parser takes half of the time."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)  # halves of surrogate pairs, which older versions stored


def storable(value: Any) -> Any:
    """A value of JSON, with what a database cannot hold replaced."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {storable_text(str(key)): storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [storable(part) for part in value]
    return value


def storable_text(text: str) -> str:
    """Text that either database takes."""
    text = text.replace("\0", _LOST)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_LOST if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text


def storable_line(line: bytes) -> bytes:
    """A line of JSON, without what escapes in it stand for and no database holds.

    Raises:
        ValueError: it is no JSON.
    """
    if _UNSTORABLE.search(line) is None:
        return line
    return json.dumps(storable(strict_json_loads(line))).encode() + b"\n"


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
        if connection.get_execution_options().get("writes", False):
            _begin_to_write(connection)
        else:
            connection.exec_driver_sql("BEGIN")


def _begin_to_write(connection: Connection) -> None:
    """Wait for the one writer's place here: SQLite would keep all greenlets of a process waiting.

    One of them may be who has the place.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_BUSY_LOOK_SECONDS)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


def _is_busy(error: OperationalError) -> bool:
    """Whether another has the place, for whatever reason, such as mending after a kill."""
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the other bits tell the reason


def _set_up_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if engine.dialect.driver == "psycopg":
            _replace_unstorable_text(connection)
        cursor = connection.cursor()
        for name, value in (
            ("application_name", "'midcourse'"),
            ("lock_timeout", f"'{BUSY_SECONDS}s'"),
            ("statement_timeout", f"'{_STATEMENT_SECONDS}s'"),
            ("idle_in_transaction_session_timeout", f"'{_IDLE_SECONDS}s'"),
        ):
            cursor.execute(f"SET {name} = {value}")
        cursor.close()
        connection.commit()

    # SQLAlchemy's own way to try connections would ask before every transaction, which costs as
    # much as a short one.
    @event.listens_for(engine, "checkin")
    def returned(_connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("rests_since", math.inf) < _TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _replace_unstorable_text(connection: Any) -> None:
    """PostgreSQL refuses NUL even in a condition, where it could only find nothing."""
    connection.adapters.register_dumper(str, _storing_dumper())


@cache
def _storing_dumper() -> Any:
    from psycopg.types.string import StrDumperUnknown

    class Text(StrDumperUnknown):
        def dump(self, text: str) -> Any:
            return super().dump(storable_text(text) if "\0" in text else text)

    return Text


def among(session: Session, column: Any, texts: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column has one of some texts.

    For PostgreSQL it is the same statement for any number of them, so that it is prepared.
    """
    if session.get_bind().dialect.name == "postgresql":
        found: ColumnElement[bool] = column == any_(literal(list(texts), ARRAY(String)))
        return found
    some: ColumnElement[bool] = column.in_(texts)
    return some


def take_turns(transaction: Connection | Session, key: int) -> None:
    """Let transactions that name a key go one after the other, from here to their commit.

    SQLite's have one writer at a time anyway.
    """
    bind = transaction.get_bind() if isinstance(transaction, Session) else transaction
    if bind.dialect.name == "postgresql":
        transaction.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def execute_and_commit(session: Session, statement: Executable, parameters: Any) -> None:
    """Execute a transaction's last statement and commit, in one round trip if the driver can.

    Raises:
        DBAPIError: one of the two failed; which kind of it is as usual.
    """
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver != "psycopg":
        connection.execute(statement, parameters)
        return
    try:
        with driver.pipeline():
            connection.execute(statement, parameters)
            driver.commit()  # the session's own commit finds nothing left to do
    except driver.Error as error:
        lost = connection.dialect.is_disconnect(error, driver, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            str(statement),
            None,
            error,
            connection.dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error
