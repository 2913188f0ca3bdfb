"""Forks and reverts: the bookkeeping between parent, child, checkpoint and process."""

import json

import pytest
from control_bench import Bench, deleted, metrics, status

from control_api.lifecycle import get_run
from midcourse.contract import environment
from midcourse.contract.runs import Origin


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def parent(bench):
    """A run that trains and has three checkpoints."""
    parent = bench.submit(seed=4)
    parent.say(
        parent.started(),
        parent.checkpoint("initial"),
        parent.checkpoint("step-9", best=True),
        parent.checkpoint("step-19"),
    )
    return parent


def pins(parent, checkpoint):
    folder = parent.paths.pins(checkpoint)
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("latest", "step-19"), ("best", "step-9"), ("initial", "initial"), ("step-9", "step-9")],
)
def test_a_fork_starts_from_the_checkpoint_and_pins_it(bench, parent, wanted, found):
    body = {"checkpoint": wanted, "changes": {"optimizer.lr": 1}, "name": "bolder"}
    answer = bench.ask("POST", f"/runs/{parent.run}/fork", body)
    child = answer.json
    assert answer.status_code == 201
    assert answer.headers["Location"] == child["links"]["self"]
    assert child["links"]["parent"] == f"/api/v1/runs/{parent.run}"
    assert child["origin"] == {
        "run": parent.run,
        "checkpoint": found,
        "changes": {"optimizer.lr": 1.0},
        "warm_start": False,
        "actor": "admin",
        "revert": False,
    }
    assert (child["name"], child["config"]) == ("bolder", {"seed": 4, "experiment": "default"})
    assert pins(parent, found) == [child["id"]]
    bench.round()
    spec = bench.launcher.started[-1]
    assert spec.run_id == child["id"]
    assert json.loads(spec.environment[environment.ORIGIN]) == child["origin"]
    assert bench.get(f"/runs/{parent.run}")["status"] == "running"


def test_an_ended_run_is_forked_from_its_latest(bench, parent):
    parent.say(status("finished"))
    child = bench.post(f"/runs/{parent.run}/fork", expect=201)
    assert child["origin"]["checkpoint"] == "step-19"
    problem = bench.post(f"/runs/{parent.run}/fork", {"checkpoint": "now"}, expect=409)
    assert "'latest'" in problem["detail"]


def test_a_checkpoint_that_retention_took_cannot_be_forked(bench, parent):
    parent.say(deleted("step-19"))
    problem = bench.post(f"/runs/{parent.run}/fork", {"checkpoint": "step-19"}, expect=422)
    assert problem["faults"][0]["allowed"] == ["initial", "step-9", "latest", "best"]


def test_nothing_is_made_of_a_checkpoint_that_is_gone_from_disk(bench, parent, monkeypatch):
    monkeypatch.setattr("control_api.pins.PAUSE_SECONDS", 0)
    folder = parent.paths.checkpoint("step-19")
    folder.rename(folder.with_name(".deleting-step-19"))
    for verb in ("fork", "revert"):
        problem = bench.post(f"/runs/{parent.run}/{verb}", {"checkpoint": "latest"}, expect=409)
        assert problem["type"] == "/problems/checkpoint-gone"
    assert len(bench.get("/runs")["runs"]) == 1
    assert bench.get(f"/runs/{parent.run}/commands")["commands"] == []


def test_fork_now_waits_for_a_checkpoint_of_its_own(bench, parent):
    child = bench.post(f"/runs/{parent.run}/fork", {"changes": {"mixup": 0.5}}, expect=201)
    assert (child["status"], child["origin"]["checkpoint"]) == ("queued", None)
    bench.round()
    assert len(bench.launcher.started) == 1
    (command,) = parent.poll()
    assert command["action"] == {"kind": "checkpoint", "pin": True}
    written = parent.checkpoint("step-33")
    after = {"checkpoint": "step-33", "state_hash": "a" * 64}
    parent.say(written, parent.done(command, step=33, after=after))
    bench.round()
    spec = bench.launcher.started[-1]
    origin = json.loads(spec.environment[environment.ORIGIN])
    assert (spec.run_id, origin["checkpoint"]) == (child["id"], "step-33")
    assert pins(parent, "step-33") == [child["id"]]


@pytest.mark.parametrize("state", ["rejected", "failed"])
def test_fork_now_fails_with_its_checkpoint(bench, parent, state):
    child = bench.post(f"/runs/{parent.run}/fork", expect=201)["id"]
    bench.ask("POST", f"/runs/{child}/pause")
    (command,) = parent.poll()
    parent.say(parent.done(command, state, reason="the disk is full"))
    bench.round()
    seen = bench.get(f"/runs/{child}")
    assert seen["status"] == "failed"
    assert seen["error"].endswith("was not taken: the disk is full")
    assert bench.get(f"/runs/{child}/commands/1")["state"] == "expired"
    assert bench.get(f"/runs/{parent.run}")["status"] == "running"


def test_fork_now_fails_with_its_parents_end(bench, parent):
    child = bench.post(f"/runs/{parent.run}/fork", expect=201)["id"]
    parent.say(status("finished"))
    bench.round()
    assert "it is finished" in bench.get(f"/runs/{child}")["error"]


def test_a_fork_that_waits_can_be_stopped(bench, parent):
    child = bench.post(f"/runs/{parent.run}/fork", expect=201)["id"]
    bench.post(f"/runs/{child}/stop", expect=202)
    bench.round()
    assert bench.get(f"/runs/{child}")["status"] == "stopped"


def test_waiting_for_a_fork_that_cannot_begin_is_no_success(bench, parent):
    parent.say(status("finished"))
    bench.launcher.refuses = "no python here"
    child = bench.post(f"/runs/{parent.run}/fork", expect=201)["id"]
    bench.round()
    seen = bench.get(f"/runs/{child}")
    assert (seen["status"], seen["error"]) == ("failed", "no python here")


def test_the_changes_of_a_fork_are_its_command_zero(bench, parent):
    body = {"checkpoint": "latest", "changes": {"mixup": 0.5}}
    child_id = bench.post(f"/runs/{parent.run}/fork", body, expect=201)["id"]
    bench.round()
    child = bench.trainer(child_id)
    command = {
        "run": child_id,
        "seq": 0,
        "actor": "admin",
        "accepted_at": "2026-01-01T00:00:00Z",
        "action": {"kind": "fork", "changes": {"mixup": 0.5}},
        "reason": None,
    }
    child.say(child.started(next_step=20), child.done(command, step=19, after={"mixup": 0.5}))
    (seen,) = bench.get(f"/runs/{child_id}/commands")["commands"]
    assert (seen["seq"], seen["state"]) == (0, "applied")
    assert bench.get(f"/runs/{child_id}/params")["values"]["mixup"] == 0.5
    assert bench.get(f"/runs/{child_id}")["step"] == 19


# An edited model


def test_a_fork_may_edit_the_configuration(bench):
    parent = bench.submit(model={"name": "mlp", "width": 32, "dropout": 0.1}, seed=4)
    parent.say(parent.started(), parent.checkpoint("step-9"))
    body = {
        "checkpoint": "latest",
        "config": {"model": {"width": 64, "dropout": None}},
        "changes": {"optimizer.betas": [0.9, 0.99], "mixup": 0.5},
    }
    child = bench.post(f"/runs/{parent.run}/fork", body, expect=201)
    assert child["config"] == {
        "model": {"name": "mlp", "width": 64},
        "seed": 4,
        "experiment": "default",
    }
    assert child["origin"]["warm_start"] is True
    bench.round()
    spec = bench.launcher.started[-1]
    assert json.loads(spec.environment[environment.ORIGIN]) == child["origin"]
    trainer = bench.trainer(child["id"])
    assert json.loads(trainer.paths.params_file.read_text()) == child["config"]
    details = {"kept": ["0.bias"], "new": ["0.weight"]}
    action = {"kind": "fork", "changes": body["changes"], "warm_start": True}
    fork = trainer.own(0, action, step=9, after={"mixup": 0.5}, details=details)
    trainer.say(trainer.started(next_step=10), fork)
    (seen,) = bench.get(f"/runs/{child['id']}/commands")["commands"]
    assert (seen["receipt"]["details"], seen["action"]) == (details, action)
    assert bench.get(f"/runs/{child['id']}")["values"]["mixup"] == 0.5
    assert bench.get(f"/runs/{parent.run}")["config"]["model"]["width"] == 32


@pytest.mark.parametrize("config", [{}, {"seed": 4}, {"experiment": None}, {"nothing": None}])
def test_a_patch_that_changes_nothing_edits_nothing(bench, parent, config):
    body = {"checkpoint": "latest", "config": config}
    child = bench.post(f"/runs/{parent.run}/fork", body, expect=201)
    assert (child["origin"]["warm_start"], child["config"]["seed"]) == (False, 4)


def test_a_fork_may_go_to_another_experiment(bench, parent):
    body = {"config": {"experiment": "other"}}
    child = bench.post(f"/runs/{parent.run}/fork", body, expect=201)
    assert (child["experiment"], child["config"]["experiment"]) == ("other", "other")


def test_a_forks_dry_run_says_what_would_be_made_and_makes_nothing(bench, parent):
    path = f"/runs/{parent.run}/fork?dry_run=true"
    body = {"checkpoint": "best", "changes": {"mixup": 1}, "config": {"seed": 5}}
    assert bench.post(path, body, expect=200) == {
        "origin": {
            "run": parent.run,
            "checkpoint": "step-9",
            "changes": {"mixup": 1.0},
            "warm_start": True,
            "actor": "admin",
            "revert": False,
        },
        "config": {"seed": 5, "experiment": "default"},
    }
    assert bench.post(path, expect=200)["origin"]["checkpoint"] is None
    bench.post(path, {"checkpoint": "step-1"}, expect=422)
    bench.post(path, {"changes": {"mixup": 2}}, expect=422)
    assert len(bench.get("/runs")["runs"]) == 1
    assert bench.get(f"/runs/{parent.run}/commands")["commands"] == []
    assert pins(parent, "step-9") == []
    parent.say(status("finished"))
    bench.post(path, {"checkpoint": "now"}, expect=409)


# Replay


def test_a_replay_begins_as_the_run_did_and_is_told_whose_journal_to_take(bench, parent):
    answer = bench.ask("POST", f"/runs/{parent.run}/replay", {"name": "again"})
    replay = answer.json
    assert (answer.status_code, replay["name"], replay["origin"]) == (201, "again", None)
    assert (replay["replay"], replay["experiment"]) == (parent.run, "default")
    assert replay["config"] == bench.get(f"/runs/{parent.run}")["config"]
    assert replay["links"]["replayed"] == f"/api/v1/runs/{parent.run}"
    bench.round()
    spec = bench.launcher.started[-1]
    assert (spec.run_id, spec.environment[environment.REPLAY]) == (replay["id"], parent.run)
    assert environment.ORIGIN not in spec.environment
    assert environment.REPLAY not in bench.launcher.started[0].environment


def test_a_run_that_has_ended_or_not_begun_can_be_replayed(bench, parent):
    parent.say(status("finished"))
    waiting = bench.post("/runs", {"config": {}}, expect=201)["id"]
    for run in (parent.run, waiting):
        assert bench.post(f"/runs/{run}/replay", expect=201)["replay"] == run


def test_what_takes_a_replays_place_goes_on_with_it_and_a_fork_does_not(bench, parent):
    run = bench.post(f"/runs/{parent.run}/replay", expect=201)["id"]
    bench.round()
    replay = bench.trainer(run)
    replay.say(replay.started(), replay.checkpoint("step-9"))
    child = bench.post(f"/runs/{run}/undo", expect=202)["action"]["child"]
    fork = bench.post(f"/runs/{run}/fork", {"checkpoint": "latest"}, expect=201)
    assert bench.get(f"/runs/{child}")["replay"] == parent.run
    assert fork["replay"] is None


# Undo


def undoing(bench, parent):
    seen = bench.post(f"/runs/{parent.run}/undo", expect=202)
    assert seen["links"]["child"] == f"/api/v1/runs/{seen['action']['child']}"
    return seen["action"]["child"], parent.poll()[-1]


def test_an_undo_goes_on_from_the_checkpoint_that_the_trainer_names(bench, parent):
    child_id, command = undoing(bench, parent)
    assert command["action"] == {"kind": "undo", "child": child_id}
    bench.round()
    waiting = bench.get(f"/runs/{child_id}")
    assert (waiting["status"], waiting["origin"]["checkpoint"]) == ("queued", None)
    parent.say(*reverted(parent, command, child_id))
    child = parent.as_child(child_id)
    child.say(child.started(next_step=10))
    seen = bench.get(f"/runs/{child_id}")
    assert (seen["status"], seen["attempt"]) == ("running", 1)
    assert (seen["origin"]["run"], seen["origin"]["checkpoint"]) == (parent.run, "step-9")
    assert bench.get(f"/runs/{parent.run}")["status"] == "superseded"


@pytest.mark.parametrize("heard_of", ["the receipt", "the child"])
def test_an_undo_may_go_back_to_an_ancestors_checkpoint(bench, parent, heard_of):
    """The child is started again with the origin that it began with, or it would refuse."""
    body = {"checkpoint": "step-9", "changes": {"mixup": 0.5}}
    fork_id = bench.post(f"/runs/{parent.run}/fork", body, expect=201)["id"]
    bench.round()
    fork = bench.trainer(fork_id)
    fork.say(fork.started(next_step=10))
    child_id, command = undoing(bench, fork)
    told = {"after": {"run": child_id, "checkpoint": "step-9"}}
    if heard_of == "the receipt":
        told["details"] = {"checkpoint_run": parent.run}
    fork.say(fork.done(command, step=30, **told), status("superseded", step=30))
    child = fork.as_child(child_id)
    origin = Origin(run=parent.run, checkpoint="step-9", actor="admin", revert=True)
    if heard_of == "the child":
        child.say(child.started(next_step=10, origin=origin))
    fork.end(-9)
    for _ in range(3):
        bench.round(later=5)
    spec = bench.launcher.started[-1]
    assert (spec.run_id, spec.attempt) == (child_id, 2)
    assert json.loads(spec.environment[environment.ORIGIN]) == json.loads(origin.to_json())
    seen = bench.get(f"/runs/{child_id}")
    assert seen["origin"]["run"] == parent.run
    assert seen["links"]["parent"] == f"/api/v1/runs/{fork_id}"


def test_an_undo_of_nothing_leaves_no_child(bench, parent):
    child_id, command = undoing(bench, parent)
    parent.say(parent.done(command, "rejected", reason="nothing was changed"))
    bench.round()
    seen = bench.get(f"/runs/{child_id}")
    assert (seen["status"], seen["error"]) == (
        "failed",
        "The undo was rejected: nothing was changed",
    )
    assert bench.get(f"/runs/{parent.run}")["status"] == "running"


def test_an_undo_that_waits_is_not_started_and_not_taken_for_a_fork(bench, parent):
    child_id, _ = undoing(bench, parent)
    bench.post(f"/runs/{child_id}/stop", expect=202)  # once it is there
    bench.round(later=100)
    assert bench.get(f"/runs/{child_id}")["status"] == "queued"
    assert len(bench.launcher.started) == 1


# Revert


def reverting(bench, parent, **changes):
    body = {"checkpoint": "best", "changes": changes}
    seen = bench.post(f"/runs/{parent.run}/revert", body, expect=202)
    return seen["action"]["child"], parent.poll()[-1]


def reverted(parent, command, child):
    after = {"run": child, "checkpoint": "step-9", "state_hash": "a" * 64}
    return parent.done(command, step=30, after=after), status("superseded", step=30)


def test_a_revert_moves_the_process_to_the_child(bench, parent):
    child_id, command = reverting(bench, parent, mixup=0.9)
    assert command["action"] == {
        "kind": "revert",
        "checkpoint": "step-9",
        "child": child_id,
        "changes": {"mixup": 0.9},
    }
    assert pins(parent, "step-9") == [child_id]
    bench.round()
    assert bench.get(f"/runs/{child_id}")["status"] == "queued"  # it is nobody's to start
    late = bench.post(f"/runs/{parent.run}/pause", expect=202)
    parent.say(*reverted(parent, command, child_id))
    child = parent.as_child(child_id)
    child.say(child.started(next_step=10), metrics(10, loss=1.0))
    bench.round()
    assert bench.get(f"/runs/{parent.run}")["status"] == "superseded"
    assert bench.get(f"/runs/{parent.run}/commands/{late['seq']}")["state"] == "superseded"
    seen = bench.get(f"/runs/{child_id}")
    assert (seen["status"], seen["attempt"], seen["origin"]["revert"]) == ("running", 1, True)
    assert len(bench.launcher.started) == 1
    child.say(status("finished"))
    parent.end(0)
    bench.round()
    assert bench.get(f"/runs/{child_id}")["status"] == "finished"
    assert len(bench.launcher.started) == 1


def test_the_child_may_speak_before_its_parents_last_word(bench, parent):
    child_id, command = reverting(bench, parent)
    child = parent.as_child(child_id)
    assert child.beat(status="running").status_code == 200
    assert child.poll() == []
    child.say(child.started(next_step=10))
    assert child.beat(attempt=2).status_code == 409
    parent.say(*reverted(parent, command, child_id))
    seen = bench.get(f"/runs/{child_id}")
    assert (seen["status"], seen["attempt"]) == ("running", 1)


def test_a_crash_after_a_revert_restarts_the_child(bench, parent):
    """The parent's last words are read from its folder; they say whose the process was."""
    child_id, command = reverting(bench, parent)
    with bench.database.writing() as session:
        get_run(session, parent.run).log_offset = 0
    parent.write(*reverted(parent, command, child_id))
    parent.end(-9)
    for _ in range(3):  # the parent's end, the child's, its new attempt
        bench.round(later=5)
    assert bench.get(f"/runs/{parent.run}")["status"] == "superseded"
    assert [(spec.run_id, spec.attempt) for spec in bench.launcher.started] == [
        (parent.run, 1),
        (child_id, 2),
    ]
    origin = json.loads(bench.launcher.started[-1].environment[environment.ORIGIN])
    assert (origin["revert"], origin["checkpoint"]) == (True, "step-9")


def test_a_crash_before_a_revert_leaves_it_to_the_next_attempt(bench, parent):
    child_id, _ = reverting(bench, parent)
    parent.end(-9)
    bench.round()
    bench.round(later=5)
    again = bench.trainer(parent.run)
    assert again.attempt == 2
    again.say(again.started())
    (command,) = again.poll()
    again.say(*reverted(again, command, child_id))
    child = again.as_child(child_id)
    child.say(child.started(next_step=10))  # the new token speaks for the child, too
    assert bench.get(f"/runs/{child_id}")["attempt"] == 2


@pytest.mark.parametrize("state", ["rejected", "failed"])
def test_a_revert_that_did_not_act_leaves_no_child_and_no_pin(bench, parent, state):
    child_id, command = reverting(bench, parent)
    parent.say(parent.done(command, state, reason="the file is damaged"))
    bench.round()
    seen = bench.get(f"/runs/{child_id}")
    assert (seen["status"], seen["error"]) == (
        "failed",
        f"The revert was {state}: the file is damaged",
    )
    assert pins(parent, "step-9") == []
    assert bench.get(f"/runs/{parent.run}")["status"] == "running"


def test_an_ended_run_cannot_be_reverted(bench, parent):
    parent.say(status("stopped"))
    problem = bench.post(f"/runs/{parent.run}/revert", {"checkpoint": "best"}, expect=409)
    assert "it is stopped" in problem["detail"]
