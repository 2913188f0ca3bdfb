"""What all tests share: those that have a database run on each kind of it."""

import os

import databases
import pytest

_MARKS_OF_A_MODULE = ("Bench", "database_url")
"""Names whose presence in a module says that its tests have a database."""
_MARKS_OF_A_TEST = {"make_bench", "home_with_database"}
"""Fixtures whose use says the same of a test."""


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "only_on(kind): runs on this kind of database alone: sqlite or postgresql"
    )


def pytest_unconfigure(config):
    databases.close()


def pytest_generate_tests(metafunc):
    of_test = not _MARKS_OF_A_TEST.isdisjoint(metafunc.fixturenames)
    of_module = any(hasattr(metafunc.module, name) for name in _MARKS_OF_A_MODULE)
    if not of_test and not of_module:
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


@pytest.fixture
def server():
    """A stand-in for W&B's server, in which nothing may go wrong."""
    from wandb_server.server import wandb_server  # few need what it loads

    with wandb_server() as server:
        yield server
        assert server.errors == []
