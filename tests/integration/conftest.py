"""What several of these files need."""

import pytest
from control_bench import Bench
from databases import database_url as url_of_database
from served import Served, free_port

from control_api.database import Database


@pytest.fixture
def make_bench(tmp_path):
    """Makes control APIs on a bench, by what differs from the usual settings."""
    made = []

    def make(**changes):
        made.append(Bench(tmp_path / str(len(made)), **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def home_with_database(tmp_path):
    """The folder that real servers are to share, and this test's database with it."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def database(home_with_database):
    """What the servers write, seen from beside them."""
    database = Database(url_of_database(home_with_database))
    yield database
    database.close()


@pytest.fixture
def serve(home_with_database):
    """Starts real servers, on one port unless told otherwise; their trainers end with the test."""
    servers, port = [], free_port()

    def start(*arguments, port=port, **options):
        servers.append(Served(home_with_database, port, *arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.die()
    for run in (home_with_database / "runs").glob("*"):
        (run / "finish").touch()
        (run / "code").write_text("0")
