"""Trainers' tokens are looked up now and then, and at once when something happened to the run."""

import pytest

from control_api.bell import Bell, run_key
from control_api.known_trainers import TRUSTED_SECONDS, KnownTrainers
from control_api.tokens import Caller
from midcourse.contract.roles import Role

TRAINER = Caller(name="trainer", role=None, runs=frozenset({"ra", "rb"}))


class Database:
    def __init__(self):
        self.answer = TRAINER
        self.looks = 0

    def look(self):
        self.looks += 1
        return self.answer


@pytest.fixture
def database():
    return Database()


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def bell():
    return Bell()


@pytest.fixture
def known(bell, now):
    return KnownTrainers(bell, clock=lambda: now[0])


def test_a_trainer_is_looked_up_once_in_a_while(known, database, now):
    for _ in range(3):
        assert known.find("mc_a", "ra", database.look) is TRAINER
    assert database.looks == 1
    now[0] += TRUSTED_SECONDS
    known.find("mc_a", "ra", database.look)
    assert database.looks == 2


def test_what_happens_to_its_run_makes_it_unknown(known, database, bell):
    known.find("mc_a", "ra", database.look)
    bell.ring(run_key("rz"))
    known.find("mc_a", "ra", database.look)
    assert database.looks == 1
    bell.ring(run_key("ra"))
    database.answer = None
    assert known.find("mc_a", "ra", database.look) is None


def test_what_happens_while_it_is_looked_up_counts(known, database, bell):
    def look():
        bell.ring(run_key("ra"))  # the token is taken back just after it was read
        return database.look()

    known.find("mc_a", "ra", look)
    known.find("mc_a", "ra", database.look)
    assert database.looks == 2


def test_each_run_and_each_token_is_known_by_itself(known, database):
    known.find("mc_a", "ra", database.look)
    known.find("mc_a", "rb", database.look)
    known.find("mc_b", "ra", database.look)
    known.find("mc_a", None, database.look)
    assert database.looks == 4


@pytest.mark.parametrize(
    "answer", [None, Caller(name="ada", role=Role.ADMIN), Caller(name="trainer", role=None)]
)
def test_nobody_else_is_remembered(known, database, answer):
    database.answer = answer
    for looks in (1, 2):
        assert known.find("mc_a", "ra", database.look) is answer
        assert database.looks == looks
