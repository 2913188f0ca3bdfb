"""Commands that wait for a step, that only try, that are withdrawn; and the journal of all."""

import json
from datetime import timedelta

import pytest
from control_bench import NOW, Bench, status


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    """A run at step 50 of epoch 2."""
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started(), trainer.checkpoint("step-9"))
    trainer.beat(step=50, epoch=2)
    return trainer


ADDRESSES = [
    ("PATCH", "params", {"mixup": 0.3}),
    ("POST", "pause", None),
    ("POST", "resume", {"steps": 5}),
    ("POST", "stop", None),
    ("POST", "checkpoint", None),
    ("POST", "revert", {"checkpoint": "latest"}),
    ("POST", "undo", None),
    ("POST", "reinitialise", {"layers": ["fc"]}),
]


# At a step or an epoch


@pytest.mark.parametrize(("method", "verb", "body"), ADDRESSES)
@pytest.mark.parametrize(
    ("said", "at"),
    [("step:500", {"step": 500, "epoch": None}), ("epoch:3", {"step": None, "epoch": 3})],
)
def test_a_command_may_wait_for_a_step_or_an_epoch(bench, run, method, verb, body, said, at):
    answer = bench.ask(method, f"/runs/{run.run}/{verb}?at={said}", body)
    assert (answer.status_code, answer.json["at"]) == (202, at)
    (command,) = run.poll()
    assert (command["at"], command["dry_run"]) == (at, False)
    seen = bench.get(f"/runs/{run.run}/commands/1")
    assert (seen["state"], seen["at"]) == ("delivered", at)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("step:49", "step 49 is past: run RUN is at step 50"),
        ("step:0", "step 0 is past: run RUN is at step 50"),
        ("epoch:1", "epoch 1 is past: run RUN is in epoch 2"),
    ],
)
def test_what_is_past_is_refused(bench, run, said, message):
    answer = bench.ask("POST", f"/runs/{run.run}/pause?at={said}")
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/invalid-input")
    assert answer.json["faults"][0]["path"] == "at"
    assert answer.json["faults"][0]["message"] == message.replace("RUN", run.run)
    assert bench.get(f"/runs/{run.run}/commands")["commands"] == []


@pytest.mark.parametrize("said", ["step:50", "epoch:2"])
def test_the_boundary_at_hand_is_not_past(bench, run, said):
    assert bench.ask("POST", f"/runs/{run.run}/pause?at={said}").status_code == 202


def test_before_the_first_step_nothing_is_past(bench):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    assert bench.ask("POST", f"/runs/{run}/pause?at=step:0").status_code == 202


def test_a_scheduled_stop_does_not_keep_a_run_from_starting(bench):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    bench.post(f"/runs/{run}/stop?at=step:5", expect=202)
    bench.post(f"/runs/{run}/stop?dry_run=true", expect=202)
    bench.round()
    assert bench.get(f"/runs/{run}")["status"] == "starting"


def test_a_scheduled_stop_that_is_refused_does_not_undo_a_stop(bench):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    bench.post(f"/runs/{run}/stop?at=step:5", expect=202)
    bench.post(f"/runs/{run}/stop", expect=202)
    assert bench.ask("DELETE", f"/runs/{run}/commands/1").status_code == 200
    bench.round()
    assert bench.get(f"/runs/{run}")["status"] == "stopped"
    assert bench.get(f"/runs/{run}/commands/2")["state"] == "applied"


def test_what_still_waits_when_the_run_ends_has_expired(bench, run):
    bench.post(f"/runs/{run.run}/pause?at=step:500", expect=202)
    (command,) = run.poll()
    ended = run.done(command, "expired", reason="the run came to its end at step 99")
    run.say(ended, status("finished"), ended)
    seen = bench.get(f"/runs/{run.run}/commands/1")
    assert (seen["state"], seen["receipt"]["reason"]) == (
        "expired",
        "the run came to its end at step 99",
    )


# Run N steps


def test_a_run_goes_on_for_some_steps(bench, run):
    seen = bench.post(f"/runs/{run.run}/resume", {"steps": 20}, expect=202)
    assert seen["action"] == {"kind": "resume", "steps": 20}
    assert run.poll()[0]["action"] == seen["action"]
    seen = bench.post(f"/runs/{run.run}/resume", expect=202)
    assert seen["action"] == {"kind": "resume", "steps": None}


def test_layers_are_reinitialised(bench, run):
    seen = bench.post(f"/runs/{run.run}/reinitialise", {"layers": ["fc", "f.*"]}, expect=202)
    assert seen["action"] == {"kind": "reinitialise", "layers": ["fc", "f.*"]}
    (command,) = run.poll()
    details = {"layers": ["fc"], "undo_to": "step-50.1"}
    run.say(run.done(command, step=50, details=details))
    assert bench.get(f"/runs/{run.run}/commands/1")["receipt"]["details"] == details


def test_a_change_may_say_how(bench, run):
    change = {"optimizer.lr": {"value": 2, "mode": "scale"}}
    seen = bench.ask("PATCH", f"/runs/{run.run}/params", change).json
    assert seen["action"]["changes"] == {"optimizer.lr": {"value": 2.0, "mode": "scale"}}


# Dry runs


@pytest.mark.parametrize(("method", "verb", "body"), ADDRESSES)
def test_a_dry_run_is_checked_and_leaves_nothing(bench, run, method, verb, body):
    before = bench.get(f"/runs/{run.run}")
    path = f"/runs/{run.run}/{verb}?dry_run=true"
    seen = bench.ask(method, path, body).json
    assert (seen["dry_run"], sorted(seen["links"])) == (True, ["run", "self"])
    (command,) = run.poll()
    assert command["dry_run"] is True
    run.say(run.done(command, "checked", step=50, after={"mixup": 0.3, "run": "rother"}))
    bench.round()
    assert bench.get(f"/runs/{run.run}/commands/1")["state"] == "checked"
    after = bench.get(f"/runs/{run.run}")
    for same in ("status", "values", "revision", "error"):
        assert after[same] == before[same]
    assert [one["id"] for one in bench.get("/runs")["runs"]] == [run.run]
    assert not run.paths.pins("step-9").exists()


def test_a_dry_run_that_was_good_is_answered_as_a_success(bench, run):
    path, headers = f"/runs/{run.run}/params?dry_run=true", {"Idempotency-Key": "k"}
    asked = bench.ask("PATCH", path, {"mixup": 0.3}, headers=headers)
    assert asked.status_code == 202
    (command,) = run.poll()
    run.say(run.done(command, "checked", step=50, before={"mixup": 0.2}, after={"mixup": 0.3}))
    found = bench.ask("PATCH", path, {"mixup": 0.3}, headers=headers)
    assert (found.status_code, found.json["state"]) == (200, "checked")
    assert found.json["receipt"]["after"] == {"mixup": 0.3}


@pytest.mark.parametrize("verb", ["revert", "undo"])
@pytest.mark.parametrize("state", ["rejected", "failed", "expired"])
def test_a_dry_run_that_fails_leaves_nothing_either(bench, run, verb, state):
    body = {"checkpoint": "latest"} if verb == "revert" else None
    bench.post(f"/runs/{run.run}/{verb}?dry_run=true", body, expect=202)
    (command,) = run.poll()
    run.say(run.done(command, state, reason="nothing to undo"))
    assert bench.get(f"/runs/{run.run}")["status"] == "running"
    assert len(bench.get("/runs")["runs"]) == 1


def test_a_dry_run_is_refused_like_the_command(bench, run):
    for path, body in (("params", {"mixup": 7}), ("params", {})):
        answer = bench.ask("PATCH", f"/runs/{run.run}/{path}?dry_run=true", body)
        assert answer.status_code == 422
    bench.post(f"/runs/{run.run}/revert?dry_run=true", {"checkpoint": "best"}, expect=422)
    bench.post(f"/runs/{run.run}/pause?dry_run=true&at=step:3", expect=422)
    assert bench.get(f"/runs/{run.run}/commands")["commands"] == []


# Withdrawing


def test_what_nobody_has_fetched_is_withdrawn_at_once(bench, run):
    bench.post(f"/runs/{run.run}/stop", expect=202)
    answer = bench.ask("DELETE", f"/runs/{run.run}/commands/1?reason=too+early")
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert answer.json["receipt"]["reason"] == "withdrawn by admin: too early"
    assert run.poll() == []


def test_what_waits_for_its_step_is_withdrawn_by_the_trainer(bench, run):
    bench.post(f"/runs/{run.run}/pause?at=step:500", expect=202)
    (pause,) = run.poll()
    answer = bench.ask("DELETE", f"/runs/{run.run}/commands/1?reason=no+need")
    assert (answer.status_code, answer.json["seq"]) == (202, 2)
    assert answer.headers["Location"] == f"/api/v1/runs/{run.run}/commands/2"
    assert answer.json["action"] == {"kind": "cancel", "seq": 1}
    assert bench.get(f"/runs/{run.run}/commands/1")["state"] == "delivered"
    (cancel,) = run.poll(after=1)
    withdrawn = run.done(pause, "cancelled", reason="withdrawn by command 2 of admin")
    run.say(run.done(cancel, step=60), withdrawn)
    states = [one["state"] for one in bench.get(f"/runs/{run.run}/commands")["commands"]]
    assert states == ["cancelled", "applied"]


def test_what_has_ended_cannot_be_withdrawn(bench, run):
    bench.post(f"/runs/{run.run}/pause", expect=202)
    (command,) = run.poll()
    about_to_act = bench.ask("DELETE", f"/runs/{run.run}/commands/1")
    assert (about_to_act.status_code, about_to_act.json["type"]) == (
        409,
        "/problems/command-not-withdrawable",
    )
    assert "acts at its next step boundary" in about_to_act.json["detail"]
    run.say(run.done(command, step=51))
    ended = bench.ask("DELETE", f"/runs/{run.run}/commands/1")
    assert ended.status_code == 409
    assert f"Command 1 of run {run.run} is applied" in ended.json["detail"]
    assert ended.json["receipt"]["step"] == 51


@pytest.mark.parametrize("verb", ["revert", "undo"])
def test_a_revert_that_is_withdrawn_leaves_no_child(bench, run, verb):
    body = {"checkpoint": "latest"} if verb == "revert" else None
    child = bench.post(f"/runs/{run.run}/{verb}", body, expect=202)["action"]["child"]
    assert bench.ask("DELETE", f"/runs/{run.run}/commands/1").status_code == 200
    bench.round()
    seen = bench.get(f"/runs/{child}")
    assert seen["error"] == f"The {verb} was cancelled: withdrawn by admin"
    assert seen["status"] == "failed"
    pins = run.paths.pins("step-9")
    assert not pins.exists() or list(pins.iterdir()) == []


def test_a_fork_whose_checkpoint_is_withdrawn_fails(bench, run):
    child = bench.post(f"/runs/{run.run}/fork", expect=201)["id"]
    assert bench.ask("DELETE", f"/runs/{run.run}/commands/1").status_code == 200
    bench.round()
    assert "withdrawn by admin" in bench.get(f"/runs/{child}")["error"]


# The journal


def test_the_journal_tells_what_acted_in_its_order(bench, run):
    path = f"/runs/{run.run}"
    bench.ask("PATCH", f"{path}/params?at=step:80&reason=later", {"mixup": 0.3})
    bench.post(f"{path}/checkpoint", expect=202)
    bench.post(f"{path}/pause", expect=202)
    bench.post(f"{path}/resume", expect=202)
    late, checkpoint, pause, _ = run.poll()
    policy = run.own(-1, {"kind": "set", "changes": {"mixup": 0.1}}, step=60, after={"mixup": 0.1})
    run.say(
        run.done(pause, "rejected", step=52, reason="no"),
        policy,
        run.done(late, step=80, before={"mixup": 0.1}, after={"mixup": 0.3}),
        run.done(checkpoint, step=51, after={"checkpoint": "step-51"}),
    )
    answer = bench.ask("GET", f"{path}/journal")
    assert (answer.status_code, answer.content_type) == (200, "application/x-ndjson")
    entries = [json.loads(line) for line in answer.text.splitlines()]
    told = [(one["seq"], one["step"], one["state"], one["actor"]) for one in entries]
    assert told == [
        (2, 51, "applied", "admin"),
        (3, 52, "rejected", "admin"),
        (-1, 60, "applied", "policy:bench"),
        (1, 80, "applied", "admin"),
    ]
    assert (entries[3]["before"], entries[3]["after"]) == ({"mixup": 0.1}, {"mixup": 0.3})
    assert (entries[3]["reason"], entries[3]["at"]["step"], entries[1]["why"]) == (
        "later",
        80,
        "no",
    )


def test_a_run_without_commands_has_an_empty_journal(bench, run):
    assert bench.ask("GET", f"/runs/{run.run}/journal").text == ""


def test_commands_are_listed_in_the_order_they_were_asked_for(bench, run):
    fork = run.own(0, {"kind": "fork", "changes": {}}, at=NOW + timedelta(days=20_000))
    before = run.own(-1, {"kind": "pause"}, at=NOW - timedelta(days=1))
    bench.post(f"/runs/{run.run}/pause", expect=202)
    bench.post(f"/runs/{run.run}/resume", expect=202)
    after = run.own(-2, {"kind": "alert", "message": "m"}, at=NOW + timedelta(days=10_000))
    run.say(before, after, fork)
    seen = [one["seq"] for one in bench.get(f"/runs/{run.run}/commands")["commands"]]
    assert seen == [0, -1, 1, 2, -2]
