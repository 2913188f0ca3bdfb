"""What all tests share: those that have a database run on each kind of it."""

import os

import databases
import pytest

_MARKS_OF_A_MODULE = ("Bench", "database_url")
"""Names whose presence in a module says that its tests have a database."""


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "only_on(kind): runs on this kind of database alone: sqlite or postgresql"
    )


def pytest_unconfigure(config):
    databases.close()


def pytest_generate_tests(metafunc):
    has_bench = "make_bench" in metafunc.fixturenames
    if not has_bench and not any(hasattr(metafunc.module, name) for name in _MARKS_OF_A_MODULE):
        return
    only = metafunc.definition.get_closest_marker("only_on")
    kinds = only.args if only else databases.KINDS
    metafunc.parametrize("database_kind", [_parameter(kind) for kind in kinds], indirect=True)


def _parameter(kind):
    required = os.environ.get(databases.REQUIRE) == "require"
    missing = kind == "postgresql" and databases.programs() is None and not required
    marks = [pytest.mark.skip(reason=databases.ABSENT)] if missing else []
    return pytest.param(kind, marks=marks)


@pytest.fixture(autouse=True)
def database_kind(request):
    """The kind of database that the test has: `sqlite` where it does not matter."""
    kind = getattr(request, "param", "sqlite")
    made = databases.begin(kind)
    yield kind
    made.close()
