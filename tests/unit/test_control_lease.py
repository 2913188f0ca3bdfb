"""Of all who ask for a lease, one has it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from databases import database_url

from control_api.database import Database
from control_api.lease import Lease, last_claim

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def database(tmp_path):
    database = Database(database_url(tmp_path))
    yield database
    database.close()


def claim(database, lease, seconds=0.0):
    with database.writing() as session:
        return lease.claim(session, NOW + timedelta(seconds=seconds))


def test_one_has_it_until_it_runs_out(database):
    one, other = Lease("reconciler", 5.0), Lease("reconciler", 5.0)
    assert claim(database, one)
    assert not claim(database, other, 4.9)
    assert claim(database, one, 4.9)
    assert not claim(database, other, 9.8)
    assert claim(database, other, 10.0)
    assert not claim(database, one, 10.1)


def test_what_is_given_back_is_free_and_only_ones_own_is_given_back(database):
    one, other = Lease("reconciler", 5.0), Lease("reconciler", 5.0)
    assert claim(database, one)
    with database.writing() as session:
        other.release(session)
    assert not claim(database, other)
    with database.writing() as session:
        one.release(session)
        assert last_claim(session, "reconciler", 5.0) is None
    assert claim(database, other)


def test_who_is_known_to_go_on_for_a_dead_one_need_not_wait(database):
    assert claim(database, Lease("reconciler", 5.0, "host:1:abc"))
    assert claim(database, Lease("reconciler", 5.0, "host:1:abc"), 0.1)
    with database.reading() as session:
        assert last_claim(session, "reconciler", 5.0) == NOW + timedelta(seconds=0.1)


def test_of_many_who_ask_at_once_one_gets_it(database):
    leases = [Lease("reconciler", 5.0) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda lease: claim(database, lease), leases))
    assert got.count(True) == 1
