"""`Idempotency-Key`: what is sent twice is made once."""

import json
import threading
from datetime import timedelta

import pytest
from control_bench import Bench, status

from control_api.tables import KeyRow, TokenRow
from control_api.tokens import sha256
from midcourse.contract.base import utc_now
from midcourse.contract.roles import Role


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started(), trainer.checkpoint("step-9"))
    return trainer


def keyed(bench, method, path, body=None, key="k-1", **headers):
    return bench.ask(method, path, body, headers={"Idempotency-Key": key, **headers})


REQUESTS = [
    ("POST", "/runs", {"config": {"seed": 4}}),
    ("POST", "/runs/RUN/fork", {"checkpoint": "latest"}),
    ("POST", "/runs/RUN/fork", None),
    ("POST", "/runs/RUN/replay", None),
    ("POST", "/runs/RUN/revert", {"checkpoint": "latest"}),
    ("POST", "/runs/RUN/undo", None),
    ("POST", "/runs/RUN/pause", None),
    ("POST", "/runs/RUN/resume", {"steps": 3}),
    ("POST", "/runs/RUN/reinitialise", {"layers": ["fc"]}),
    ("PATCH", "/runs/RUN/params?reason=why", {"mixup": 0.3, "optimizer.lr": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_a_retry_is_answered_with_what_the_first_made(bench, run, method, path, body):
    path = path.replace("RUN", run.run)
    first = keyed(bench, method, path, body)
    runs, commands = bench.get("/runs"), bench.get(f"/runs/{run.run}/commands")
    again = keyed(bench, method, path, body)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert again.headers["Location"] == first.headers["Location"]
    assert (bench.get("/runs"), bench.get(f"/runs/{run.run}/commands")) == (runs, commands)


def test_a_retry_knows_how_things_are_by_now(bench, run):
    keyed(bench, "PATCH", f"/runs/{run.run}/params", {"mixup": 0.3}, **{"If-Match": '"1"'})
    run.say(run.done(run.poll()[0], step=3, after={"mixup": 0.3}), status("finished"))
    again = keyed(bench, "PATCH", f"/runs/{run.run}/params", {"mixup": 0.3}, **{"If-Match": '"1"'})
    assert (again.status_code, again.json["state"]) == (200, "applied")


def test_a_withdrawal_may_be_repeated(bench, run):
    bench.post(f"/runs/{run.run}/pause", expect=202)
    path = f"/runs/{run.run}/commands/1"
    first, again = (keyed(bench, "DELETE", path) for _ in range(2))
    assert (first.status_code, first.json["state"]) == (200, "cancelled")
    assert (again.status_code, again.json) == (200, first.json)
    bench.post(f"/runs/{run.run}/pause?at=step:500", expect=202)
    run.poll()
    path = f"/runs/{run.run}/commands/2"
    first, again = (keyed(bench, "DELETE", path, key="other") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json["seq"] == again.json["seq"] == 3


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/runs/RUN/params", {"mixup": 0.4}),
        ("PATCH", "/runs/RUN/params", {"mixup": True}),
        ("PATCH", "/runs/RUN/params?dry_run=true", {"mixup": 0.3}),
        ("POST", "/runs/RUN/pause", None),
        ("POST", "/runs", {"config": {}}),
    ],
)
def test_a_key_is_for_one_request(bench, run, method, path, body):
    keyed(bench, "PATCH", f"/runs/{run.run}/params", {"mixup": 0.3})
    answer = keyed(bench, method, path.replace("RUN", run.run), body)
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert "'k-1'" in answer.json["detail"]
    assert len(bench.get(f"/runs/{run.run}/commands")["commands"]) == 1


def test_how_the_request_was_written_is_no_matter(bench, run):
    path = f"/runs/{run.run}/params"
    keyed(bench, "PATCH", f"{path}?reason=a&at=step:90", {"mixup": 0.3, "optimizer.lr": 1})
    other = b'{ "optimizer.lr": 1,\n"mixup": 0.3 }'
    answer = bench.ask(
        "PATCH",
        f"{path}?at=step:90&reason=a",
        data=other,
        content_type="application/merge-patch+json",
        headers={"Idempotency-Key": '"k-1"', "Prefer": "wait=0"},
    )
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (202, "true")


def test_what_was_refused_may_be_tried_again_under_its_key(bench, run):
    path = f"/runs/{run.run}/params"
    assert keyed(bench, "PATCH", path, {"mixup": 3}).status_code == 422
    answer = keyed(bench, "PATCH", path, {"mixup": 0.3})
    assert answer.status_code == 202
    assert "Idempotency-Replayed" not in answer.headers


def test_keys_are_each_actors_own(bench, run):
    keyed(bench, "POST", f"/runs/{run.run}/pause")
    with bench.database.writing() as session:
        session.add(
            TokenRow(name="ada", sha256=sha256("mc_ada"), role=Role.ADMIN, created_at=utc_now())
        )
    headers = {"Authorization": "Bearer mc_ada", "Idempotency-Key": "k-1"}
    answer = bench.client.post(f"/api/v1/runs/{run.run}/resume", headers=headers)
    assert (answer.status_code, answer.json["actor"]) == (202, "ada")


@pytest.mark.parametrize(("method", "path", "body"), [REQUESTS[0], REQUESTS[1], REQUESTS[4]])
def test_two_at_once_make_one(bench, run, monkeypatch, method, path, body):
    """Both look before either has made anything: the database decides."""
    from control_api import idempotency

    path, find = path.replace("RUN", run.run), idempotency._find
    both_looked = threading.Barrier(2)
    looked = threading.local()

    def find_and_wait(*args):
        found = find(*args)
        if not getattr(looked, "once", False):
            looked.once = True
            both_looked.wait(20)
        return found

    monkeypatch.setattr(idempotency, "_find", find_and_wait)
    answers = []

    def send():
        client = bench.app.test_client()
        headers = {"Authorization": f"Bearer {bench.token}", "Idempotency-Key": "k-1"}
        data, kind = json.dumps(body), "application/json"
        answers.append(
            client.open(
                f"/api/v1{path}", method=method, headers=headers, data=data, content_type=kind
            )
        )

    before = len(bench.get("/runs")["runs"])
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = answers
    assert first.status_code == second.status_code in (201, 202)
    assert first.json == second.json
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 1
    assert len(bench.get("/runs")["runs"]) == before + 1
    pins = run.paths.pins("step-9")
    assert len(list(pins.iterdir()) if pins.exists() else []) == (0 if path == "/runs" else 1)


def test_keys_are_kept_for_a_day_and_go_with_the_next_one(bench, run):
    keyed(bench, "POST", f"/runs/{run.run}/pause", key="old")
    with bench.database.writing() as session:
        session.get_one(KeyRow, ("admin", "old")).created_at -= timedelta(hours=23, minutes=59)
    keyed(bench, "POST", f"/runs/{run.run}/resume", key="second")
    with bench.database.writing() as session:
        session.get_one(KeyRow, ("admin", "old")).created_at -= timedelta(minutes=2)
    keyed(bench, "POST", f"/runs/{run.run}/resume", key="third")
    with bench.database.reading() as session:
        assert sorted(row.key for row in session.query(KeyRow)) == ["second", "third"]
