"""Databases for tests: a new one for each home, in SQLite or in PostgreSQL.

A test says nothing of it. Those of a module that imports `Bench` or `database_url` run once on
each kind (`conftest.py`); `@pytest.mark.only_on("sqlite")` keeps one to a kind. PostgreSQL is
Debian's package, started by the first test of a pytest process that needs it, on a socket in a
folder of its own, and ended with that process.
"""

import shutil
import tempfile
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path

from postgresql_server import PostgreSQL, programs

KINDS = ("sqlite", "postgresql")
REQUIRE = "MIDCOURSE_TEST_POSTGRESQL"
"""`require` fails where PostgreSQL is absent, in place of a skip."""
ABSENT = "PostgreSQL is not installed (Debian's package postgresql)"

_TEMPLATE = "template_migrated"
# Not durable, and in another time zone and order of letters than people here would expect.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": "Pacific/Chatham",
}


class Databases:
    """The databases of one test: one for each home that it has."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._names: dict[Path, str] = {}

    def url(self, home: Path) -> str:
        """The address of a home's database; it is made, with all tables, when first asked for."""
        if self.kind == "sqlite":
            path = home / "control.db"
            if not path.exists():
                home.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(_sqlite_template(), path)
            return f"sqlite:///{path}"
        if home not in self._names:
            self._names[home] = f"test_{next(_numbers)}"
            return server().create(self._names[home], _TEMPLATE)
        return server().url(self._names[home])

    def close(self) -> None:
        """Delete them; SQLite's lie in the test's own folder, which pytest deletes."""
        for name in self._names.values():
            server().drop(name)


_numbers = count(1)
_present = Databases("sqlite")


def begin(kind: str) -> Databases:
    """Of which kind the databases of the coming test are."""
    global _present
    _present = Databases(kind)
    return _present


def database_url(home: Path) -> str:
    """The address of a home's database in the test that runs: `MIDCOURSE_DATABASE_URL`."""
    return _present.url(Path(home).absolute())


@cache
def server() -> PostgreSQL:
    """This process's."""
    found = programs()
    assert found is not None, ABSENT
    made = PostgreSQL(found, _SETTINGS)
    _migrate(made.create(_TEMPLATE))
    return made


@cache
def _sqlite_template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="midcourse-sqlite-")) / "control.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    from control_api.database import Database  # not for tests that have no database

    database = Database(url)
    database.migrate()
    database.close()


def close() -> None:
    """End what this process has started."""
    if server.cache_info().currsize:
        server().close()
        server.cache_clear()
    if _sqlite_template.cache_info().currsize:
        with suppress(OSError):
            shutil.rmtree(_sqlite_template().parent)
        _sqlite_template.cache_clear()
