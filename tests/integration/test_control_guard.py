"""Failed logins are limited, foreign pages are kept out, and nothing may be of any size."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from control_bench import Bench
from sqlalchemy import func, select

from control_api import login_failures
from control_api.app import create_app
from control_api.door import METHODS, RULE
from control_api.tables import AuditRow, LoginFailureRow
from midcourse.contract.api.audit import Outcome


class Clock:
    def __init__(self):
        self.time = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self):
        return self.time


class Stranger:
    """An application by a clock, and requests that come from anywhere."""

    def __init__(self, bench, clock, **settings):
        self.bench, self.clock = bench, clock
        self.token = bench.token
        changed = {**{k: getattr(bench.settings, k) for k in ("home", "database_url")}, **settings}
        self.app = create_app(type(bench.settings)(**changed), bench.database, now=clock)

    def ask(self, token=None, method="GET", address="192.0.2.1", path="/api/v1/whoami", **headers):
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.app.test_client().open(
            path, method=method, headers=headers, environ_base={"REMOTE_ADDR": address}
        )

    def fail(self, count, **options):
        return [self.ask("mc_wrong", **options).status_code for _ in range(count)]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stranger(bench, clock):
    return Stranger(bench, clock)


def lines(bench):
    with bench.database.reading() as session:
        return list(session.scalars(select(AuditRow).order_by(AuditRow.id)))


def test_after_ten_failures_in_a_minute_it_is_429_until_the_minute_is_over(stranger, clock):
    assert stranger.fail(12) == [401] * 10 + [429] * 2
    clock.time += timedelta(seconds=45.5)
    refused = stranger.ask("mc_wrong")
    assert refused.json["type"] == "/problems/too-many-failed-logins"
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "15")
    clock.time += timedelta(seconds=14.5)
    assert stranger.fail(11) == [401] * 10 + [429]


def test_a_good_token_is_served_whatever_others_of_its_address_do(stranger):
    stranger.fail(20)
    assert stranger.ask(stranger.token).status_code == 200


def test_each_address_is_counted_for_itself_and_ipv6_by_its_network(stranger):
    assert stranger.fail(11)[-1] == 429
    assert stranger.fail(1, address="192.0.2.2") == [401]
    assert stranger.fail(10, address="2001:db8::1") == [401] * 10
    assert stranger.fail(1, address="2001:db8::2") == [429]
    assert stranger.fail(1, address="2001:db8:0:1::1") == [401]
    assert stranger.fail(1, address="::ffff:192.0.2.1") == [429]


def test_all_processes_count_together(bench, clock, stranger):
    other = Stranger(bench, clock)
    assert stranger.fail(5) == other.fail(5) == [401] * 5
    assert other.fail(1) == stranger.fail(1) == [429]


def test_many_at_once_are_counted_right(bench, stranger):
    threads = [threading.Thread(target=stranger.fail, args=(3,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(row.status == 401 for row in lines(bench)) == 10
    assert sum(row.status == 429 for row in lines(bench)) == 1


def test_a_change_without_a_token_counts_and_a_look_does_not(stranger):
    assert {stranger.ask().status_code for _ in range(15)} == {401}
    assert [stranger.ask(method="POST").status_code for _ in range(11)] == [401] * 10 + [429]
    assert stranger.ask().status_code == 401


def test_a_flood_writes_no_more_than_its_limit(bench, stranger, clock):
    """Ten lines and one that says that it was too many; then the database is only read."""
    stranger.fail(11)
    written = []
    real = bench.database.writing
    bench.database.writing = lambda: written.append(1) or real()
    assert set(stranger.fail(30)) == {429}
    assert written == []
    outcomes = [(row.outcome, row.status) for row in lines(bench)]
    assert outcomes == [(Outcome.FAILED_LOGIN, 401)] * 10 + [(Outcome.FAILED_LOGIN, 429)]


def test_what_is_counted_does_not_grow_without_end(bench, stranger, clock, monkeypatch):
    monkeypatch.setattr(login_failures, "MAX_ADDRESSES", 20)
    for number in range(30):
        stranger.fail(1, address=f"192.0.2.{number}")

    def counted():
        with bench.database.reading() as session:
            return session.scalar(select(func.count()).select_from(LoginFailureRow))

    assert counted() == 21  # the last is of all others
    assert stranger.fail(1, address="192.0.2.77") == [429]
    clock.time += timedelta(minutes=1)
    assert stranger.fail(1, address="192.0.2.77") == [401]
    assert counted() == 1


def test_a_limit_by_address_needs_to_know_the_proxies(bench, clock):
    from ipaddress import ip_network

    near = Stranger(bench, clock)
    proxied = {"address": "10.0.0.1"}
    for number in range(10):
        near.ask("mc_wrong", **proxied, **{"X-Forwarded-For": f"198.51.100.{number}"})
    assert near.fail(1, **proxied) == [429]  # nobody's word is believed
    clock.time += timedelta(minutes=1)
    trusting = Stranger(bench, clock, trusted_proxies=(ip_network("10.0.0.0/8"),))
    for number in range(12):
        headers = {"X-Forwarded-For": f"6.6.6.6, 198.51.100.{number}"}
        assert trusting.ask("mc_wrong", **proxied, **headers).status_code == 401
    assert lines(bench)[-1].address == "198.51.100.11"


# Pages of other origins

PAGE = "https://console.example"


def test_without_a_setting_no_page_is_let_in(stranger):
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    answer = stranger.ask(method="OPTIONS", **preflight)
    assert answer.status_code == 403
    for told in (answer, stranger.ask(stranger.token, Origin=PAGE), stranger.ask(stranger.token)):
        assert not [name for name, _ in told.headers if name.startswith("Access-Control")]


def test_a_page_that_is_configured_may_ask_and_read(bench, clock):
    stranger = Stranger(bench, clock, cors_origins=frozenset({PAGE}))
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH"}
    path = "/api/v1/runs/rnobody/params"
    asked = stranger.ask(method="OPTIONS", path=path, **preflight)
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == PAGE
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in asked.headers
    answer = stranger.ask(stranger.token, method="PATCH", path=path, Origin=PAGE)
    assert answer.status_code == 404  # of the view: an error can be read, too
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Origin" in stranger.ask(stranger.token).headers["Vary"]
    assert stranger.ask(method="POST", Origin=PAGE).status_code == 401  # it still needs a token
    for origin in ("https://evil.example", "null", "http://console.example"):
        answer = stranger.ask(method="OPTIONS", **{**preflight, "Origin": origin})
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
    foreign = {"Host": "evil.example", **preflight}
    assert stranger.ask(method="OPTIONS", **foreign).status_code == 403


# Sizes


def test_no_address_takes_a_body_of_any_size(tmp_path):
    bench = Bench(tmp_path, max_body_bytes=1000, max_log_bytes=5000)
    run = bench.submit()
    seen = set()
    taken = [(RULE + name, {method}) for name, method in METHODS.items()]
    taken += [(rule.rule, rule.methods) for rule in bench.app.url_map.iter_rules()]
    for rule, methods in taken:
        for method in methods & {"POST", "PATCH", "PUT", "DELETE"}:
            link = rule.startswith(RULE)
            path = rule.replace("<run_id>", run.run).replace("<name>", "x")
            path = path.replace("<int(signed=True):seq>", "1") + "?attempt=1&offset=0" * link
            headers = {"Authorization": f"Bearer {run.token if link else bench.token}"}
            answer = bench.client.open(
                path,
                method=method,
                headers=headers,
                data=b'{"x": "' + b" " * (6000 if link else 1100) + b'"}\n',
                content_type="application/json",
            )
            assert answer.status_code == 413, f"{method} {path}: {answer.status_code} {answer.text}"
            seen.add((method, rule))
    assert len(seen) > 10
    bench.close()


@pytest.mark.parametrize("depth", [50, 200, 500, 900, 5000, 100_000])
def test_what_is_nested_too_deeply_is_refused_and_breaks_nothing(bench, depth):
    nested = b'{"config": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    answer = bench.ask("POST", "/runs", data=nested, content_type="application/json")
    assert answer.status_code == (201 if depth == 50 else 400), answer.text
    if depth != 50:
        assert "nested too deeply" in answer.json["detail"]
    assert bench.ask("GET", "/runs").status_code == 200
