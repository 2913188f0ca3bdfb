"""One action for many runs: each run answers for itself."""

import threading

import pytest
from control_bench import Bench, status
from sqlalchemy import select

from control_api import bulk
from control_api.folder import write_labels
from control_api.tables import AuditRow, CommandRow, RunRow
from midcourse.contract.base import utc_now
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunLabels
from midcourse.tracking.labels import read_labels


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def running(bench, count=2, experiment="a"):
    trainers = [bench.submit(experiment=experiment, seed=number) for number in range(count)]
    for trainer in trainers:
        trainer.say(trainer.started())
    return trainers


def act(bench, body, *, expect=200, query="", **options):
    answer = bench.ask("POST", f"/runs/actions{query}", body, **options)
    assert answer.status_code == expect, answer.text
    return answer.json["results"] if expect == 200 else answer.json


def by_run(results):
    return {each["run"]: each for each in results}


def test_all_runs_of_an_experiment_are_paused_and_no_other(bench):
    first, second = running(bench)
    [other] = running(bench, 1, "b")
    body = {"filter": {"experiment": "a"}, "action": "pause", "reason": "lunch"}
    results = act(bench, body)
    assert {each["run"] for each in results} == {first.run, second.run}
    for each in results:
        assert (each["status"], each["problem"]) == (202, None)
        assert each["command"]["reason"] == "lunch"
    for trainer in (first, second):
        assert [each["action"] for each in trainer.poll()] == [{"kind": "pause"}]
    assert other.poll() == []
    with bench.database.reading() as session:
        paused = session.scalars(select(AuditRow.run_id).where(AuditRow.action == "pause"))
        assert set(paused) == {first.run, second.run}


def test_what_one_run_refuses_keeps_no_other_from_it(bench):
    good, bad, ended = running(bench, 3)
    ended.say(status("finished"))
    with bench.database.writing() as session:
        declared = session.get_one(RunRow, bad.run).declared
        session.get_one(RunRow, bad.run).declared = [
            row for row in declared if row["name"] != "mixup"
        ]
    body = {"filter": {}, "action": "set", "changes": {"mixup": 0.5}}
    results = by_run(act(bench, body))
    assert results[good.run]["status"] == 202
    assert results[bad.run]["status"] == 422
    assert results[bad.run]["problem"]["faults"][0]["path"] == "changes.mixup"
    assert results[ended.run]["problem"]["type"] == "/problems/run-not-ready"
    with bench.database.reading() as session:
        made = session.execute(select(CommandRow.run_id, CommandRow.seq)).all()
        assert [(run, seq) for run, seq in made] == [(good.run, 1)]
        lines = session.execute(
            select(AuditRow.run_id, AuditRow.outcome, AuditRow.status).where(
                AuditRow.action == "set"
            )
        ).all()
        assert {(run, str(outcome), code) for run, outcome, code in lines} == {
            (good.run, "accepted", None),
            (bad.run, "refused", 422),
            (ended.run, "refused", 409),
        }


def test_an_unexpected_error_in_one_run_is_its_own(bench, monkeypatch):
    first, second = running(bench)
    get_run = bulk.get_run

    def stumble(session, run_id, **options):
        if run_id == second.run:
            raise ZeroDivisionError
        return get_run(session, run_id, **options)

    monkeypatch.setattr(bulk, "get_run", stumble)
    results = by_run(act(bench, {"filter": {}, "action": "pause"}))
    assert (results[first.run]["status"], results[second.run]["status"]) == (202, 500)
    assert len(first.poll()) == 1


def test_every_action_does_what_it_says(bench):
    [trainer] = running(bench, 1)
    run = trainer.run
    for action in ("pause", "resume", "suspend", "checkpoint", "undo", "stop"):
        [result] = act(bench, {"filter": {"prefix": run}, "action": action})
        assert (result["status"], result["command"]["action"]["kind"]) == (202, action)
    for body, field, value in (
        ({"action": "tag", "tags": ["x", "y"]}, "tags", ["x", "y"]),
        ({"action": "tag", "tags": ["z", "y"]}, "tags", ["x", "y", "z"]),
        ({"action": "untag", "tags": ["x", "q"]}, "tags", ["y", "z"]),
    ):
        assert act(bench, {"filter": {"prefix": run}, **body}) == [
            {"run": run, "status": 200, "command": None, "problem": None}
        ]
        assert bench.get(f"/runs/{run}")[field] == value
    act(bench, {"filter": {"prefix": run}, "action": "archive"})
    assert bench.get(f"/runs/{run}")["archived_at"] is not None
    act(bench, {"filter": {"prefix": run, "archived": True}, "action": "unarchive"})
    assert bench.get(f"/runs/{run}")["archived_at"] is None
    [result] = act(bench, {"filter": {"prefix": run}, "action": "delete"})
    assert (result["status"], "only runs that have ended" in result["problem"]["detail"]) == (
        409,
        True,
    )
    trainer.say(status("stopped"))
    trainer.end(0)
    bench.round()
    [result] = act(bench, {"filter": {"prefix": run}, "action": "delete"})
    assert result["status"] == 200
    assert bench.ask("GET", f"/runs/{run}").status_code == 410


def test_a_dry_run_says_whom_it_would_reach_and_who_would_refuse(bench):
    good, ended = running(bench)
    ended.say(status("finished"))
    ended.end(0)
    bench.round()
    for body, refused in (
        ({"action": "pause"}, [ended.run]),
        ({"action": "undo"}, [ended.run]),
        ({"action": "set", "changes": {"optimizer.lr": -1}}, [good.run, ended.run]),
        ({"action": "delete"}, [good.run]),
        ({"action": "tag", "tags": ["x"]}, []),
        ({"action": "archive"}, []),
    ):
        results = by_run(act(bench, {"filter": {}, **body}, query="?dry_run=true"))
        assert set(results) == {good.run, ended.run}
        told = {run for run, each in results.items() if each["problem"] is not None}
        assert told == set(refused), body
        assert all(each["command"] is None for each in results.values())
    assert good.poll() == []
    runs = bench.get("/runs?archived=any")["runs"]
    assert [(run["tags"], run["archived_at"]) for run in runs] == [([], None)] * 2
    with bench.database.reading() as session:
        assert session.scalars(select(CommandRow)).all() == []


def test_what_people_call_a_run_is_written_down_for_its_tracker(bench):
    [trainer] = running(bench, 1)
    run = trainer.run

    def labels():
        return read_labels(RunPaths(bench.settings.home, run))

    assert labels() == RunLabels()
    act(bench, {"filter": {"prefix": run}, "action": "tag", "tags": ["x"]}, query="?dry_run=true")
    assert labels() == RunLabels()
    act(bench, {"filter": {"prefix": run}, "action": "tag", "tags": ["x"]})
    answer = bench.ask("PATCH", f"/runs/{run}", {"name": "first", "notes": "look"})
    assert answer.status_code == 200
    assert labels() == RunLabels(name="first", tags=["x"], notes="look")


@pytest.mark.parametrize("first", ["an edit", "a start"])
def test_of_two_that_write_down_what_a_run_is_called_the_later_edit_stays(
    bench, monkeypatch, first
):
    if first == "an edit":
        run = running(bench, 1)[0].run
    else:
        run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    writes = []

    def write_late(home, run_id, told):
        """The first one is overtaken by an edit that was made after its own."""
        writes.append(told.name)
        if len(writes) == 1:
            assert bench.ask("PATCH", f"/runs/{run}", {"name": "later"}).status_code == 200
        write_labels(home, run_id, told)

    monkeypatch.setattr("control_api.labels.write_labels", write_late)
    if first == "an edit":
        assert bench.ask("PATCH", f"/runs/{run}", {"name": "earlier"}).status_code == 200
    else:
        bench.round()
    assert read_labels(RunPaths(bench.settings.home, run)).name == "later"
    assert len(writes) == 3


def test_the_receipts_of_all_can_be_waited_for(bench):
    first, second = running(bench)
    third = bench.submit(experiment="a", seed=3)

    def obey():
        [command] = first.poll(wait=20)
        first.say(first.done(command, step=4))
        [command] = second.poll(wait=20)
        second.say(second.done(command, "rejected", reason="not now"))

    threading.Thread(target=obey).start()
    body = {"filter": {"experiment": "a", "status": "running"}, "action": "pause"}
    answer = bench.ask("POST", "/runs/actions", body, headers={"Prefer": "wait=30"})
    assert answer.headers["Preference-Applied"] == "wait=30"
    results = by_run(answer.json["results"])
    assert results[first.run]["status"] == 200
    assert results[first.run]["command"]["receipt"]["step"] == 4
    assert results[second.run]["status"] == 409
    assert results[second.run]["problem"]["type"] == "/problems/command-not-applied"
    assert results[second.run]["command"]["state"] == "rejected"
    assert third.run not in results


def test_waiting_ends_with_the_time(bench):
    running(bench, 2)
    answer = bench.ask(
        "POST", "/runs/actions", {"filter": {}, "action": "stop"}, headers={"Prefer": "wait=1"}
    )
    assert [each["status"] for each in answer.json["results"]] == [202, 202]


def test_a_repeated_request_answers_with_the_same_commands_and_reaches_no_others(bench):
    first, second = running(bench)
    key = {"Idempotency-Key": "lunch"}
    body = {"filter": {"status": "running"}, "action": "pause"}
    told = act(bench, body, headers=key)
    [trainer] = running(bench, 1)
    first.say(status("paused"))
    again = bench.ask("POST", "/runs/actions", body, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [each["command"]["seq"] for each in again.json["results"]] == [1, 1]
    assert [each["run"] for each in again.json["results"]] == [each["run"] for each in told]
    assert trainer.poll() == []
    assert len(first.poll()) == len(second.poll()) == 1
    other = bench.ask("POST", "/runs/actions", {**body, "action": "stop"}, headers=key)
    assert other.json["type"] == "/problems/idempotency-key-reused"
    other = bench.ask("POST", "/runs", {"config": {}}, headers=key)
    assert other.json["type"] == "/problems/idempotency-key-reused"


def test_a_request_that_was_cut_off_goes_on_when_it_is_repeated(bench, monkeypatch):
    trainers = running(bench, 3)
    key = {"Idempotency-Key": "lunch"}
    body = {"filter": {}, "action": "pause"}
    act_on = bulk.Bulk.act
    done = []

    def die_after_one(self, run_id, by):
        if done:
            raise KeyboardInterrupt
        done.append(run_id)
        return act_on(self, run_id, by)

    monkeypatch.setattr(bulk.Bulk, "act", die_after_one)
    with pytest.raises(KeyboardInterrupt):
        bench.ask("POST", "/runs/actions", body, headers=key)
    monkeypatch.undo()
    results = act(bench, body, headers=key)
    assert [each["status"] for each in results] == [202] * 3
    assert [len(trainer.poll()) for trainer in trainers] == [1, 1, 1]


def test_more_runs_than_one_request_reaches_are_refused_with_their_number(bench):
    now = utc_now()
    with bench.database.writing() as session:
        session.add_all(
            RunRow(id=f"r{n:04}", experiment="a", config={}, created_by="admin", created_at=now)
            for n in range(1001)
        )
    body = {"filter": {"experiment": "a"}, "action": "archive"}
    told = act(bench, body, expect=422)
    assert (told["type"], told["total"]) == ("/problems/too-many-runs", 1001)
    assert "1001 runs" in told["detail"]
    assert act(bench, {**body, "filter": {"prefix": "r0999"}})[0]["status"] == 200
    assert len(act(bench, body, query="?dry_run=true")) == 1000


def test_what_an_action_needs_and_what_it_does_not_take_is_told(bench):
    for body, message in (
        ({"filter": {}, "action": "set"}, "changes must say what set is to change"),
        ({"filter": {}, "action": "set", "changes": {}}, "changes must say"),
        ({"filter": {}, "action": "tag"}, "tags must say what tag is to change"),
        ({"filter": {}, "action": "pause", "tags": ["a"]}, "tags goes with tag and untag"),
        ({"filter": {}, "action": "pause", "changes": {"a": 1}}, "changes goes with set"),
        ({"filter": {}, "action": "dance"}, "must be 'pause', 'resume'"),
        ({"filter": {"limit": 3}, "action": "pause"}, "is not a known key"),
        ({"filter": {"where": "x=1"}, "action": "pause"}, "no field is called 'x'"),
        ({"action": "pause"}, "is missing"),
        ({"filter": {}}, "is missing"),
    ):
        told = act(bench, body, expect=422)
        assert message in told["detail"], (body, told)


def test_operators_act_on_many_runs_and_only_admins_delete_them(bench):
    running(bench, 1)

    def ask(role, method, path, body=None):
        made = bench.post("/tokens", {"name": f"{role}-{method}", "role": role}, expect=201)
        headers = {"Authorization": f"Bearer {made['token']}"}
        answer = bench.ask(method, path, body, headers=headers)
        bench.ask("DELETE", f"/tokens/{role}-{method}")
        return answer.status_code

    [run] = [each["id"] for each in bench.get("/runs")["runs"]]
    pause = {"filter": {}, "action": "pause"}
    assert ask("viewer", "POST", "/runs/actions", pause) == 403
    assert ask("operator", "POST", "/runs/actions", pause) == 200
    delete = {"filter": {}, "action": "delete"}
    assert ask("operator", "POST", "/runs/actions", delete) == 403
    assert ask("admin", "POST", "/runs/actions", delete) == 200
    assert ask("operator", "DELETE", f"/runs/{run}") == 403
    assert ask("viewer", "PATCH", f"/runs/{run}", {"name": "x"}) == 403
    assert ask("operator", "PATCH", f"/runs/{run}", {"name": "x"}) == 200
    for path in (f"/runs/{run}/lineage", "/experiments", "/runs"):
        assert ask("viewer", "GET", path) == 200
