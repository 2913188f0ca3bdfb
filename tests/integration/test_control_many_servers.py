"""Two servers over one database, and nothing that ties a client to one of them."""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import pytest
import requests
from control_bench import lines, metrics
from databases import database_url
from served import Served, free_port, wait_for

from control_api.attempts import begin_attempt
from control_api.database import Database
from control_api.lifecycle import get_run
from control_api.tokens import give_trainer_token, revoke_trainer_tokens
from midcourse.contract.base import utc_now
from midcourse.contract.runs import RunStatus


@pytest.fixture
def servers(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    # Nobody starts trainers: the test is the one of its run.
    made = [
        Served(home, free_port(), "--no-reconciler", answers=False, MIDCOURSE_WORKERS="1")
        for _ in range(2)
    ]
    for server in made:
        server.until_it_answers()
    yield made
    for server in made:
        server.die()


@pytest.fixture
def run(servers):
    return servers[0].ask("POST", "/runs", json={"config": {}}).json()["id"]


@pytest.fixture
def database(servers):
    database = Database(database_url(servers[0].home))
    yield database
    database.close()


@pytest.fixture
def token(database, run):
    """Of the run's trainer."""
    with database.writing() as session:
        begin_attempt(session, get_run(session, run, for_change=True), "none", utc_now(), "cpu:0")
        return give_trainer_token(session, [run])


def in_turn(servers, times, ask):
    """Ask one server and the other, at the same time."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(ask, islice(cycle(servers), times)))


def test_commands_are_numbered_without_gaps_though_all_come_at_once(servers, run):
    answers = in_turn(servers, 24, lambda server: server.ask("POST", f"/runs/{run}/checkpoint"))
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(answer.json()["seq"] for answer in answers) == list(range(1, 25))


def test_a_request_that_reaches_both_under_one_key_makes_one_thing(servers, run):
    key = {"Idempotency-Key": "once"}
    answers = in_turn(
        servers, 12, lambda server: server.ask("POST", f"/runs/{run}/checkpoint", headers=key)
    )
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["seq"] for answer in answers} == {1}
    assert len([each for each in answers if "Idempotency-Replayed" not in each.headers]) == 1


def test_what_is_posted_to_one_is_delivered_by_the_other_at_once(servers, run, token):
    """Waiters look by themselves only every ten seconds: it is the event tail that wakes them."""
    one, other = servers
    url = f"{other.url}/api/v1/runs/{run}/link/commands?attempt=1&wait=60"
    headers = {"Authorization": f"Bearer {token}"}
    with ThreadPoolExecutor() as threads:
        polled = threads.submit(requests.get, url, headers=headers, timeout=60)
        one.ask("POST", f"/runs/{run}/pause")
        answer = polled.result(60)
    assert [command["action"]["kind"] for command in answer.json()["commands"]] == ["pause"]
    assert answer.elapsed.total_seconds() < 8


def test_a_trainer_may_report_to_either(servers, run, token):
    """A log that goes through both arrives whole, each line once, though each is sent to both."""
    parts = [lines(metrics(step, loss=1.0)) for step in range(10)]
    headers = {"Authorization": f"Bearer {token}"}
    offset = 0
    for part in parts:

        def ship(server, part=part, offset=offset):
            url = f"{server.url}/api/v1/runs/{run}/link/report?attempt=1&offset={offset}"
            return requests.post(url, data=b"\n" + part, headers=headers, timeout=60)

        answers = in_turn(servers, 4, ship)
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        offset += len(part)
        assert {answer.json()["next_offset"] for answer in answers} == {offset}
    seen = servers[1].ask("GET", f"/runs/{run}/metrics").json()["metrics"]["loss"]
    assert seen["steps"] == list(range(10))


def test_a_token_that_is_taken_back_is_refused_by_both(servers, run, token, database):
    """Each knows the token from a moment ago, and neither for longer than a few seconds."""
    headers = {"Authorization": f"Bearer {token}"}

    def report(server):
        url = f"{server.url}/api/v1/runs/{run}/link/report?attempt=1&offset=0"
        return requests.post(url, data=b"\n", headers=headers, timeout=60).status_code

    assert [report(server) for server in servers] == [200, 200]
    with database.writing() as session:
        revoke_trainer_tokens(session, run)
        get_run(session, run, for_change=True).status = RunStatus.STOPPED
    for server in servers:
        wait_for(lambda server=server: report(server), lambda status: status == 401, 4.0)
