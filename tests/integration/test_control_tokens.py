"""Tokens with roles: made, listed, expired and revoked, over the API and on the command line."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from control_bench import Bench
from databases import database_url
from sqlalchemy import delete, select

from control_api import __main__ as program
from control_api.app import create_app
from control_api.tables import AuditRow, TokenRow
from control_api.tokens import ensure_admin, revoke_token, sha256
from midcourse.contract.base import utc_now


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


class Clock:
    """The time that the API takes it to be."""

    def __init__(self):
        self.time = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def clock(bench):
    """An application by this clock, in the place of the bench's own."""
    clock = Clock()
    bench.app = create_app(bench.settings, bench.database, now=clock)
    bench.client = bench.app.test_client()
    return clock


def make(bench, name="ada", role="operator", **more):
    return bench.post("/tokens", {"name": name, "role": role} | more, expect=201)


def asking(bench, token, method="GET", path="/whoami", **options):
    headers = {"Authorization": f"Bearer {token}"}
    return bench.client.open(f"/api/v1{path}", method=method, headers=headers, **options)


def names(bench, query=""):
    return [token["name"] for token in bench.get(f"/tokens{query}")["tokens"]]


def test_a_token_is_told_once_and_speaks_for_its_holder(bench):
    made = make(bench, expires_in_days=30)
    assert re.fullmatch(r"mc_[\w-]{43}", made["token"])
    assert (made["created_by"], made["role"], made["ended_at"]) == ("admin", "operator", None)
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lasts == timedelta(days=30)
    me = asking(bench, made["token"])
    assert me.json == {"name": "ada", "role": "operator", "expires_at": made["expires_at"]}
    listed = bench.get("/tokens")
    assert names(bench) == ["admin", "ada"]
    with bench.database.reading() as session:
        row = session.query(TokenRow).filter_by(name="ada").one()
        stored = [str(getattr(row, column.name)) for column in TokenRow.__table__.columns]
    assert sha256(made["token"]) in stored
    for secret in (made["token"], made["token"][3:20]):
        assert secret not in json.dumps(listed) + "".join(stored)


def test_commands_go_under_its_name(bench):
    run = bench.submit()
    token = make(bench)["token"]
    answer = asking(bench, token, "POST", f"/runs/{run.run}/pause")
    assert (answer.status_code, answer.json["actor"]) == (202, "ada")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name: is missing"),
        ({"name": "ada"}, "role: is missing"),
        ({"name": "ada", "role": "root"}, "role: "),
        ({"name": "", "role": "viewer"}, "name: "),
        ({"name": "a b", "role": "viewer"}, "name: "),
        ({"name": "a\nb", "role": "viewer"}, "name: "),
        ({"name": "../a", "role": "viewer"}, "name: "),
        ({"name": "a/b", "role": "viewer"}, "name: "),
        ({"name": "a" * 64, "role": "viewer"}, "name: "),
        ({"name": "trainer", "role": "viewer"}, "name: is what the tokens of trainers"),
        ({"name": "ada", "role": "viewer", "expires_in_days": 0}, "must be above 0"),
        ({"name": "ada", "role": "viewer", "expires_in_days": -1}, "must be above 0"),
        ({"name": "ada", "role": "viewer", "expires_in_days": 10**6}, "at most 3650"),
        ({"name": "ada", "role": "viewer", "expires_in_days": True}, "must be a number"),
        ({"name": "ada", "role": "viewer", "token": "mine"}, "token: is not a known key"),
    ],
)
def test_what_is_no_token_is_not_made(bench, body, message):
    assert message in bench.post("/tokens", body, expect=422)["detail"]
    assert names(bench) == ["admin"]


def test_a_name_is_for_one_good_token_at_a_time(bench, clock):
    first = make(bench, expires_in_days=1)
    taken = bench.post("/tokens", {"name": "ada", "role": "viewer"}, expect=409)
    assert taken["type"] == "/problems/token-name-taken"
    clock.time += timedelta(days=1)
    second = make(bench, role="viewer")
    assert second["id"] != first["id"]
    bench.ask("DELETE", "/tokens/ada")
    third = make(bench)
    assert [asking(bench, made["token"]).status_code for made in (first, second, third)] == [
        401,
        401,
        200,
    ]
    gone = [token for token in bench.get("/tokens?ended=true")["tokens"] if token["ended_at"]]
    assert [(token["id"], token["ended_by"]) for token in gone] == [
        (first["id"], None),
        (second["id"], "admin"),
    ]
    assert gone[0]["ended_at"] == first["expires_at"]


def test_two_at_once_do_not_get_one_name(bench):
    """Both look before either has made anything: the database decides."""
    answers = []

    def ask():
        client = bench.app.test_client()
        answer = client.post(
            "/api/v1/tokens",
            headers={"Authorization": f"Bearer {bench.token}"},
            json={"name": "ada", "role": "viewer"},
        )
        answers.append(answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, 409, 409, 409]


def test_a_token_expires_to_the_moment(bench, clock):
    token = make(bench, expires_in_days=0.5)["token"]
    clock.time += timedelta(hours=12) - timedelta(microseconds=1)
    assert asking(bench, token).status_code == 200
    clock.time += timedelta(microseconds=1)
    answer = asking(bench, token)
    assert (answer.status_code, answer.json["detail"]) == (
        401,
        "This token has expired; ask for another.",
    )
    assert names(bench) == ["admin"]
    ended = bench.get("/tokens?ended=true")["tokens"][1]
    assert (ended["ended_at"], ended["ended_by"]) == (ended["expires_at"], None)


def test_what_is_revoked_is_refused_by_every_process_from_then_on(bench):
    token = make(bench)["token"]
    other = Bench(bench.home)  # another process over the same database
    assert asking(other, token).status_code == 200
    answer = bench.ask("DELETE", "/tokens/ada")
    assert (answer.status_code, answer.json["ended_by"]) == (200, "admin")
    for process in (bench, other):
        refused = asking(process, token)
        assert refused.status_code == 401
        assert refused.json["detail"] == "This token was revoked; ask for another."
    other.close()
    again = bench.ask("DELETE", "/tokens/ada")
    assert (again.status_code, again.json["type"]) == (404, "/problems/unknown-token")
    assert token not in again.text


@pytest.mark.parametrize("name", ["nobody", "a%00b", "%F0%9F%98%80", "a%0Ab"])
def test_an_unknown_name_is_a_404_or_a_422(bench, name):
    assert bench.ask("DELETE", f"/tokens/{name}").status_code in (404, 422)


def test_the_last_admin_cannot_lock_all_out(bench, clock):
    answer = bench.ask("DELETE", "/tokens/admin")
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/last-admin")
    assert "python -m control_api tokens revoke admin" in answer.json["detail"]
    second = make(bench, "second", "admin", expires_in_days=1)["token"]
    clock.time += timedelta(days=1)
    assert bench.ask("DELETE", "/tokens/admin").status_code == 409  # the other one has expired
    clock.time -= timedelta(days=1)
    assert bench.ask("DELETE", "/tokens/admin").status_code == 200
    assert bench.ask("GET", "/tokens").status_code == 401
    assert asking(bench, second, path="/tokens").status_code == 200


@pytest.mark.only_on("postgresql")
def test_two_admins_who_revoke_each_other_leave_one(bench):
    tokens = {"admin": bench.token, "second": make(bench, "second", "admin")["token"]}
    began = threading.Barrier(2)
    answers = []

    def revoke(by, name):
        began.wait()
        client = bench.app.test_client()
        headers = {"Authorization": f"Bearer {tokens[by]}"}
        answers.append(client.delete(f"/api/v1/tokens/{name}", headers=headers).status_code)

    threads = [
        threading.Thread(target=revoke, args=pair)
        for pair in [("admin", "second"), ("second", "admin")]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[0] == 200
    assert sorted(answers)[1] in (401, 409)


def test_a_role_is_named_where_it_is_missing(bench):
    viewer = make(bench, "vera", "viewer")["token"]
    answer = asking(bench, viewer, "POST", "/runs", json={"config": {}})
    assert (answer.status_code, answer.json["type"]) == (403, "/problems/forbidden")
    assert answer.json["detail"] == (
        "This needs the role admin; the token 'vera' has the role viewer."
    )


# The command line


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`python -m control_api tokens …`; returns the exit code, what was said, and what was told."""
    url = database_url(tmp_path)
    monkeypatch.setenv("MIDCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MIDCOURSE_DATABASE_URL", url)

    def run(*arguments):
        try:
            code = program.main(["tokens", *arguments])
        except SystemExit as ended:
            code = ended.code
        told = capsys.readouterr()
        return code, told.out.strip(), told.err.strip()

    return run


def test_the_first_admin_can_be_made_before_the_first_start(tmp_path, command):
    code, token, told = command("make", "ada", "--role", "admin")
    assert code == 0
    assert token.startswith("mc_")
    assert told == "ada has the role admin. This is shown once:"
    bench = Bench(tmp_path)  # it starts, and finds that there is an admin
    assert bench.token is None
    assert not bench.settings.token_file.exists()
    assert asking(bench, token, path="/tokens").json["tokens"][0]["created_by"] == (
        "the command line"
    )
    bench.close()


def test_tokens_are_listed_and_revoked(command, bench):
    code, token, told = command("make", "bob", "--role", "operator", "--expires", "12h")
    assert (code, "until" in told) == (0, True)
    assert asking(bench, token).json["role"] == "operator"
    code, listed, _ = command("list")
    header, admin, bob = listed.splitlines()
    assert header.split() == ["NAME", "ROLE", "MADE", "BY", "EXPIRES"]
    assert "the first start" in admin
    assert admin.endswith("never")
    assert "operator" in bob
    assert token not in listed
    assert command("revoke", "bob") == (0, "", "bob is revoked.")
    assert asking(bench, token).status_code == 401
    assert command("revoke", "bob")[0] == 1
    assert len(command("list")[1].splitlines()) == 2
    ended = [json.loads(line) for line in command("list", "--ended", "--json")[1].splitlines()]
    assert [(row["name"], row["ended_by"]) for row in ended] == [
        ("admin", None),
        ("bob", "the command line"),
    ]


def test_the_command_line_mends_a_lock_out(command, bench):
    code, _, told = command("revoke", "admin")
    assert code == 0
    assert "No admin is left" in told
    assert bench.ask("GET", "/runs").status_code == 401
    _, token, _ = command("make", "admin", "--role", "admin")
    assert asking(bench, token, path="/audit").status_code == 200


def test_what_the_command_line_did_is_in_the_audit(command, bench):
    command("make", "bob", "--role", "viewer")
    command("revoke", "bob")
    with bench.database.reading() as session:
        rows = session.query(AuditRow).order_by(AuditRow.id).all()
    assert [(row.actor, row.action, row.subject, row.outcome) for row in rows] == [
        ("the command line", "make_token", "bob", "accepted"),
        ("the command line", "revoke_token", "bob", "accepted"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["make", "bob"], 2, "--role"),
        (["make", "bob", "--role", "root"], 2, "root"),
        (["make", "a b", "--role", "viewer"], 2, "is no name"),
        (["make", "bob", "--role", "viewer", "--expires", "0d"], 2, "such as 30d"),
        (["make", "bob", "--role", "viewer", "--expires", "30"], 2, "such as 30d"),
        (["make", "bob", "--role", "viewer", "--expires", "99999d"], 2, "at most 3650d"),
        (["make", "trainer", "--role", "viewer"], 2, "take another name"),
        (["revoke", "nobody"], 1, "No token that is good is called 'nobody'"),
        ([], 2, "make|list|revoke"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(command, arguments, code, message):
    found, out, told = command(*arguments)
    assert (found, out) == (code, "")
    assert message in told
    assert "Traceback" not in told


def test_a_database_that_is_away_is_one_sentence_without_its_password(command, monkeypatch):
    for url in (
        "postgresql://u:planted@127.0.0.1:1/d",
        "postgresql://u:x@127.0.0.1:planted/d",
        "sqlite:////proc/nowhere/planted.db",
    ):
        monkeypatch.setenv("MIDCOURSE_DATABASE_URL", url)
        code, _, told = command("list")
        assert code in (1, 2)
        assert "planted" not in told
        assert "Traceback" not in told


def test_ends_are_kept_in_order(bench):
    """The library itself: who revoked, and when."""
    make(bench)
    now = utc_now()
    with bench.database.writing() as session:
        row = revoke_token(session, "ada", "somebody", now)
    with bench.database.reading() as session:
        kept = session.get_one(TokenRow, row.id)
    assert (kept.ended_by, kept.ended_at) == ("somebody", now)


@pytest.mark.only_on("postgresql")  # SQLite has one writer at a time
def test_of_servers_that_start_together_one_makes_the_admins_token(bench):
    with bench.database.writing() as session:
        session.execute(delete(TokenRow))
    bench.settings.token_file.unlink()
    together = threading.Barrier(8)

    def start():
        with bench.database.writing() as session:
            session.execute(select(1))  # it has its connection
            together.wait(30)
            return ensure_admin(session, bench.settings.token_file)

    with ThreadPoolExecutor(8) as pool:
        tokens = {each.result() for each in [pool.submit(start) for _ in range(8)]}
    assert tokens == {bench.settings.token_file.read_text().strip()}
