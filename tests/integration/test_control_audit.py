"""The audit: every request that would change something, and every failed login."""

import json
import threading
from datetime import timedelta

import pytest
from control_bench import Bench
from sqlalchemy import inspect, select, text

from control_api import audit
from control_api.asking import Requester, note
from control_api.tables import AuditRow, TokenRow
from midcourse.contract.api.audit import Outcome
from midcourse.contract.base import utc_now


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    trainer = bench.submit()
    trainer.say(trainer.started())
    return trainer


def entries(bench, query=""):
    """The oldest first."""
    return bench.get(f"/audit{query}")["entries"][::-1]


def told(entry):
    return tuple(
        entry[key] for key in ("actor", "method", "action", "outcome", "status", "problem")
    )


def test_what_was_accepted_has_a_line_with_all_that_is_known(bench, run):
    answer = bench.ask("POST", f"/runs/{run.run}/pause?reason=secret-reason")
    assert answer.status_code == 202
    submitted, paused = entries(bench)
    assert (submitted["action"], submitted["run"], submitted["seq"]) == ("submit", run.run, None)
    with bench.database.reading() as session:
        token_id = session.scalars(select(TokenRow.id)).one()
    assert paused == {
        "id": submitted["id"] + 1,
        "at": paused["at"],
        "actor": "admin",
        "token_id": token_id,
        "role": "admin",
        "address": "127.0.0.1",
        "request_id": answer.headers["X-Request-Id"],
        "method": "POST",
        "path": f"/api/v1/runs/{run.run}/pause",
        "action": "pause",
        "run": run.run,
        "seq": 1,
        "subject": None,
        "outcome": "accepted",
        "status": None,
        "problem": None,
    }


def test_looking_leaves_no_line(bench, run):
    before = len(entries(bench))
    for path in ("/runs", f"/runs/{run.run}", "/tokens", "/audit", "/nowhere"):
        bench.ask("GET", path)
    assert len(entries(bench)) == before


def test_the_trainers_constant_talk_leaves_none_either(bench, run):
    before = len(entries(bench))
    run.poll()
    run.ship(b"x", offset=77)  # refused
    assert len(entries(bench)) == before


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "problem", "action"),
    [
        ("POST", "/runs/RUN/resume", {"body": {"steps": 0}}, 422, "/problems/invalid-input",
         "resume"),
        ("POST", "/runs", {"data": b"{", "content_type": "application/json"}, 400,
         "/problems/malformed-body", "submit"),
        ("POST", "/runs", {"data": b"{}"}, 415, "/problems/wrong-media-type", "submit"),
        ("POST", "/runs", {"data": b" " * 1_000_001, "content_type": "application/json"}, 413,
         "about:blank", "submit"),
        ("POST", "/runs/rnobody/pause", {}, 404, "/problems/unknown-run", "pause"),
        ("POST", "/nowhere", {}, 404, "about:blank", None),
        ("DELETE", "/whoami", {}, 405, "about:blank", None),
        ("DELETE", "/tokens/admin", {}, 409, "/problems/last-admin", "revoke_token"),
    ],
)  # fmt: skip
def test_what_was_refused_has_a_line_too(
    bench, run, method, path, options, status, problem, action
):
    options = dict(options)
    body = options.pop("body", None)
    path = path.replace("RUN", run.run)
    answer = bench.ask(method, path, body, **options)
    assert answer.status_code == status
    entry = entries(bench)[-1]
    assert told(entry) == ("admin", method, action, "refused", status, problem)
    assert entry["path"] == f"/api/v1{path}"
    assert entry["request_id"] == answer.headers["X-Request-Id"]
    if "/runs/" in path:
        assert entry["run"] == path.split("/")[2]


def test_what_a_role_has_not_is_a_line_of_the_one_who_tried(bench, run):
    token = bench.post("/tokens", {"name": "vera", "role": "viewer"}, expect=201)
    headers = {"Authorization": f"Bearer {token['token']}"}
    bench.client.post(f"/api/v1/runs/{run.run}/stop", headers=headers)
    entry = entries(bench)[-1]
    assert told(entry) == ("vera", "POST", "stop", "refused", 403, "/problems/forbidden")
    assert (entry["token_id"], entry["role"]) == (token["id"], "viewer")


def test_a_trainer_that_tries_something_else_is_named(bench, run):
    headers = {"Authorization": f"Bearer {run.token}"}
    bench.client.post(f"/api/v1/runs/{run.run}/stop", headers=headers)
    entry = entries(bench)[-1]
    assert told(entry)[0] == "trainer"
    assert (entry["role"], entry["outcome"], entry["run"]) == ("trainer", "refused", run.run)


def test_one_line_for_each_request_whatever_came_of_waiting(bench, run):
    """A command that is accepted and then rejected was accepted: its receipt tells the rest."""

    def refuse():
        (command,) = run.poll(wait=20)
        run.say(run.done(command, "rejected", reason="no"))

    thread = threading.Thread(target=refuse)
    thread.start()
    answer = bench.ask("POST", f"/runs/{run.run}/pause", headers={"Prefer": "wait=20"})
    thread.join()
    assert answer.status_code == 409
    assert told(entries(bench)[-1]) == ("admin", "POST", "pause", "accepted", None, None)
    requests = [entry["request_id"] for entry in entries(bench)]
    assert len(requests) == len(set(requests))


def test_nobody_hides_behind_a_request_id_of_his_own(bench, run):
    """A client may say what its requests are to be called in the log, as often as it likes."""
    headers = {"X-Request-Id": "mine"}
    bench.post(f"/runs/{run.run}/pause", expect=202, headers=headers)
    bench.ask("POST", f"/runs/{run.run}/resume", {"steps": 0}, headers=headers)
    assert [(entry["request_id"], entry["outcome"]) for entry in entries(bench)[-2:]] == [
        ("mine", "accepted"),
        ("mine", "refused"),
    ]


def test_a_repeat_is_a_line_of_its_own_and_makes_nothing(bench, run):
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        bench.post(f"/runs/{run.run}/pause", expect=202, headers=headers)
    first, second = entries(bench)[-2:]
    assert (first["seq"], first["status"], second["seq"], second["status"]) == (1, None, None, 202)
    assert first["request_id"] != second["request_id"]


def test_tokens_that_are_made_and_revoked_are_named(bench):
    bench.post("/tokens", {"name": "vera", "role": "viewer"}, expect=201)
    bench.ask("DELETE", "/tokens/vera")
    assert [(entry["action"], entry["subject"]) for entry in entries(bench)] == [
        ("make_token", "vera"),
        ("revoke_token", "vera"),
    ]


def test_a_name_that_was_used_twice_is_told_apart_by_the_tokens_number(bench):
    ids = []
    for _ in range(2):
        made = bench.post("/tokens", {"name": "vera", "role": "operator"}, expect=201)
        headers = {"Authorization": f"Bearer {made['token']}"}
        bench.client.post("/api/v1/runs/rnobody/stop", headers=headers)
        bench.ask("DELETE", "/tokens/vera")
        ids.append(made["id"])
    assert [entry["token_id"] for entry in entries(bench, "?actor=vera")] == ids
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("token", "subject"),
    [
        ("mc_abcdefghijklmnopqrstuvwxyz", "mc_abcd…"),
        ("mc_abcd", None),
        ("correct horse battery staple", None),
        ("ünknown", None),
        ("mc_ü" + "a" * 30, None),
    ],
)
def test_a_failed_login_is_told_by_how_the_token_began(bench, token, subject):
    bench.client.get("/api/v1/runs", headers={"Authorization": f"Bearer {token}"})
    (entry,) = entries(bench)
    assert told(entry) == (None, "GET", None, "failed-login", 401, "/problems/unauthenticated")
    assert (entry["subject"], entry["address"]) == (subject, "127.0.0.1")


def test_a_token_that_has_ended_is_told_by_its_name(bench):
    token = bench.post("/tokens", {"name": "vera", "role": "viewer"}, expect=201)["token"]
    bench.ask("DELETE", "/tokens/vera")
    bench.client.get("/api/v1/runs", headers={"Authorization": f"Bearer {token}"})
    entry = entries(bench)[-1]
    assert (entry["outcome"], entry["actor"], entry["subject"]) == ("failed-login", None, "vera")


def test_a_change_without_a_token_or_from_a_foreign_page_is_refused_on_the_record(bench):
    bench.client.post("/api/v1/runs")
    bench.client.get("/api/v1/runs")  # looking without a token: no attempt at anything
    bench.ask("POST", "/runs", {"config": {}}, headers={"Origin": "https://evil.example"})
    assert [told(entry)[3:] for entry in entries(bench)] == [
        ("refused", 401, "/problems/unauthenticated"),
        ("refused", 403, "/problems/foreign-origin"),
    ]


def test_what_clients_write_cannot_break_a_line(bench):
    long = "x" * 3000
    for path in (f"/runs/{long}/pause", "/runs/a%00b/pause", "/runs/a%0Ab%22%F0%9F%98%80/pause"):
        assert bench.ask("POST", path).status_code == 404
    first, second, third = entries(bench)
    assert (len(first["path"]), len(first["run"])) == (500, 200)
    assert second["run"] == "a\N{REPLACEMENT CHARACTER}b"
    assert third["run"] == 'a\nb"😀'
    lines = bench.ask("GET", "/audit/download").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [first["id"], second["id"], third["id"]]


def test_it_is_filtered(bench, run):
    bench.post("/tokens", {"name": "vera", "role": "viewer"}, expect=201)
    bench.ask("POST", f"/runs/{run.run}/resume", {"steps": 0})
    bench.client.get("/api/v1/runs", headers={"Authorization": "Bearer no"})
    for query, actions in [
        (f"?run={run.run}", ["submit", "resume"]),
        ("?actor=admin", ["submit", "make_token", "resume"]),
        ("?actor=nobody", []),
        ("?outcome=refused", ["resume"]),
        ("?outcome=failed-login", [None]),
        ("?outcome=accepted&actor=admin", ["submit", "make_token"]),
        ("?since=2999-01-01T00:00:00Z", []),
        ("?until=2999-01-01T00:00:00Z", ["submit", "make_token", "resume", None]),
        ("?since=2000-01-01T00:00:00%2B02:00", ["submit", "make_token", "resume", None]),
    ]:
        assert [entry["action"] for entry in entries(bench, query)] == actions, query
    middle = entries(bench)[2]["at"]
    assert len(entries(bench, f"?since={middle}")) == 2
    assert len(entries(bench, f"?until={middle}")) == 2


@pytest.mark.parametrize(
    "query",
    [
        "?since=yesterday",
        "?since=2026-01-01T00:00:00",
        "?until=0001-01-01T00:00:00%2B14:00",
        "?until=9999-12-31T23:59:59-14:00",
        "?outcome=good",
        "?run=%00",
        "?actor=a%00",
        f"?actor={'a' * 201}",
        "?limit=0",
        "?limit=1001",
        "?cursor=7",
        "?cursor=%00",
        "?who=admin",
    ],
)
def test_what_is_no_filter_is_named(bench, query):
    answer = bench.ask("GET", f"/audit{query}")
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/invalid-input")


def test_pages_neither_repeat_nor_miss_a_line(bench):
    fill(bench, 25)
    found, cursor = [], ""
    while cursor is not None:
        page = bench.get(f"/audit?limit=10{cursor and '&cursor=' + cursor}")
        found += [entry["subject"] for entry in page["entries"]]
        cursor = page["next_cursor"]
        fill(bench, 1)  # what comes meanwhile stands before them all
    assert found == [str(number) for number in range(24, -1, -1)]


def fill(bench, count):
    with bench.database.writing() as session:
        for number in range(count):
            note(session, Requester("admin"), "fill", subject=str(number))
            session.flush()


@pytest.mark.parametrize("count", [0, 1, 9, 10, 25, 30])
def test_a_download_has_every_line_once_however_long_it_is(bench, monkeypatch, count):
    monkeypatch.setattr(audit, "CHUNK", 10)
    fill(bench, count)
    answer = bench.ask("GET", "/audit/download")
    assert answer.content_type == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.ndjson"'
    lines = [json.loads(line)["subject"] for line in answer.text.splitlines()]
    assert lines == [str(number) for number in range(count)]


def test_a_download_is_read_in_pieces(bench, monkeypatch):
    monkeypatch.setattr(audit, "CHUNK", 10)
    fill(bench, 25)
    answer = bench.ask("GET", "/audit/download", buffered=False)
    first = next(answer.iter_encoded())
    fill(bench, 5)  # began before these
    assert json.loads(first)["subject"] == "0"
    assert sum(1 for _ in answer.iter_encoded()) == 24


def test_the_line_and_the_effect_are_kept_together_or_not_at_all(bench, run, monkeypatch):
    from control_api import accepting

    def noted_and_failed(*args, **options):
        note(args[0], args[1], "pause", run_id=run.run)
        raise ZeroDivisionError

    monkeypatch.setattr(accepting, "record", noted_and_failed)
    answer = bench.ask("POST", f"/runs/{run.run}/pause")
    assert answer.status_code == 500
    assert told(entries(bench)[-1]) == ("admin", "POST", "pause", "refused", 500, "about:blank")
    assert bench.get(f"/runs/{run.run}/commands")["commands"] == []
    assert [entry["action"] for entry in entries(bench)] == ["submit", "pause"]


def test_where_the_audit_cannot_be_written_the_answer_stands(bench, caplog):
    with bench.database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO gone"))
    answer = bench.ask("POST", "/nowhere")
    assert answer.status_code == 404
    assert "has no line in the audit" in caplog.text


def test_nothing_in_the_code_changes_or_deletes_a_line():
    """By its words: what updates or deletes rows names their table."""
    from pathlib import Path

    code = Path(audit.__file__).parent.rglob("*.py")
    users = {file.name for file in code if "AuditRow" in file.read_text()}
    assert users <= {"tables.py", "asking.py", "audit.py"}
    for file in ("asking.py", "audit.py"):
        source = (Path(audit.__file__).parent / file).read_text()
        assert not any(word in source for word in ("delete(AuditRow", "update(AuditRow"))


def test_lines_may_be_looked_for_by_run_actor_and_request(bench):
    indexed = {
        column for index in inspect(bench.database.engine).get_indexes("audit")
        for column in index["column_names"]
    }  # fmt: skip
    assert {"actor", "request_id", "run_id"} <= indexed


def test_times_are_told_in_utc(bench):
    fill(bench, 1)
    (entry,) = entries(bench)
    assert entry["at"].endswith("Z")
    with bench.database.reading() as session:
        row = session.scalars(select(AuditRow)).one()
    assert utc_now() - row.at < timedelta(minutes=5)
    assert row.outcome is Outcome.ACCEPTED
