"""Commands that a run gave itself: told by its log alone, when they have ended."""

import json
import threading
import time

import pytest
from control_bench import Bench, metrics, status
from werkzeug.serving import make_server

from control_api.lifecycle import get_run
from midcourse.contract import environment
from midcourse.contract.link import Heartbeat
from midcourse.contract.runs import RunStatus
from midcourse.link import Link


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started(), trainer.checkpoint("step-9"), trainer.checkpoint("step-19"))
    return trainer


def own_return(run, child, *, kind="revert", seq=-1, checkpoint="step-9", **told):
    """A policy's revert or undo, and the end of the run."""
    action = {"kind": kind, "child": child}
    if kind == "revert":
        action |= {"checkpoint": checkpoint, "changes": {"mixup": 0.1}}
    after = {"run": child, "checkpoint": checkpoint}
    told = {"actor": "policy:nonfinite", "step": 30, "after": after, **told}
    return run.own(seq, action, **told), status("superseded", step=30)


def test_a_policys_command_is_seen_with_its_actor(bench, run):
    action = {"kind": "set", "changes": {"optimizer.lr": 0.01}}
    lower = run.own(
        -1,
        action,
        actor="policy:plateau",
        step=12,
        before={"optimizer.lr": 0.1},
        after={"optimizer.lr": 0.01},
    )
    run.say(lower)
    run.say(lower)  # a redo says it again
    (seen,) = bench.get(f"/runs/{run.run}/commands")["commands"]
    assert (seen["seq"], seen["actor"], seen["state"]) == (-1, "policy:plateau", "applied")
    assert bench.get(f"/runs/{run.run}/commands/-1") == seen
    assert seen["links"]["self"].endswith("/commands/-1")
    assert bench.get(f"/runs/{run.run}/params")["values"]["optimizer.lr"] == 0.01
    revision = bench.get(f"/runs/{run.run}")["revision"]
    assert bench.post(f"/runs/{run.run}/pause", expect=202)["seq"] == 1
    assert bench.get(f"/runs/{run.run}")["revision"] == revision
    answer = bench.ask("DELETE", f"/runs/{run.run}/commands/-1")
    assert answer.json["type"] == "/problems/command-not-withdrawable"


def test_values_after_a_restart_follow_the_order_of_acting(bench, run):
    """Own commands count downwards: the last to act is not the one of the highest number."""
    bench.ask("PATCH", f"/runs/{run.run}/params", {"mixup": 0.9})
    (command,) = run.poll()
    change = {"kind": "set", "changes": {"mixup": 0.5}}
    run.say(
        run.done(command, step=20, after={"mixup": 0.9}),
        run.own(-1, change, step=21, after={"mixup": 0.5}),
        run.own(-2, change | {"changes": {"mixup": 0.4}}, step=22, after={"mixup": 0.4}),
    )
    run.say(run.started(next_step=20))
    assert bench.get(f"/runs/{run.run}")["values"]["mixup"] == 0.4


def test_only_changes_set_values(bench, run):
    """A pause's `status` is no live parameter, be one called so or not."""
    run.say(run.own(-1, {"kind": "pause"}, step=3, after={"mixup": 0.9, "status": "paused"}))
    assert bench.get(f"/runs/{run.run}")["values"]["mixup"] == 0.2


def test_an_own_stop_that_fails_does_not_undo_a_persons(bench, run):
    bench.post(f"/runs/{run.run}/stop", expect=202)
    run.say(run.own(-1, {"kind": "stop"}, state="failed", step=3, reason="the disk is full"))
    with bench.database.reading() as session:
        assert get_run(session, run.run).desired == "stopped"


@pytest.mark.parametrize("kind", ["revert", "undo"])
def test_a_policys_revert_makes_the_child_and_moves_the_process(bench, run, kind):
    late = bench.post(f"/runs/{run.run}/pause", expect=202)
    run.say(*own_return(run, "rchild", kind=kind))
    child = run.as_child("rchild")
    # Whatever comes first, it is heard: the trainer must not believe that it lost its place.
    assert child.poll() == []
    assert child.beat().status_code == 200
    assert run.ship(b"").status_code == 200
    child.say(child.started(next_step=10), metrics(10, loss=1.0))
    bench.round()
    seen = bench.get("/runs/rchild")
    assert (seen["status"], seen["attempt"], seen["created_by"]) == (
        "running",
        1,
        "policy:nonfinite",
    )
    assert (seen["origin"]["revert"], seen["origin"]["checkpoint"]) == (True, "step-9")
    assert seen["config"] == {"seed": 1, "experiment": "default"}
    assert bench.get(f"/runs/{run.run}")["status"] == "superseded"
    assert bench.get(f"/runs/{run.run}/commands/-1")["links"]["child"] == "/api/v1/runs/rchild"
    assert bench.get(f"/runs/{run.run}/commands/{late['seq']}")["state"] == "superseded"
    assert len(bench.launcher.started) == 1
    assert bench.post("/runs/rchild/pause", expect=202)["seq"] == 1
    assert [command["seq"] for command in child.poll()] == [1]
    child.say(status("finished"))
    run.end(0)
    bench.round()
    assert bench.get("/runs/rchild")["status"] == "finished"
    assert child.beat().status_code == 401


def test_reverts_one_after_another_are_followed(bench, run):
    """As after an outage: three runs' logs are shipped in one go."""
    run.say(*own_return(run, "rtwo"))
    two = run.as_child("rtwo")
    two.say(two.started(next_step=10), *own_return(two, "rthree"))
    three = two.as_child("rthree")
    three.say(three.started(next_step=10))
    bench.round()
    assert [bench.get(f"/runs/{run_id}")["status"] for run_id in (run.run, "rtwo", "rthree")] == [
        "superseded",
        "superseded",
        "running",
    ]
    assert bench.get("/runs/rthree")["attempt"] == 1
    assert two.ship(b"").status_code == 200


def test_a_crash_right_after_a_policys_revert_restarts_the_child(bench, run):
    run.write(run.started(), *own_return(run, "rchild"))
    with bench.database.writing() as session:
        get_run(session, run.run).log_offset = 0
    run.end(-9)
    for _ in range(3):
        bench.round(later=5)
    specs = [(spec.run_id, spec.attempt) for spec in bench.launcher.started]
    assert specs == [(run.run, 1), ("rchild", 2)]
    origin = json.loads(bench.launcher.started[-1].environment[environment.ORIGIN])
    assert origin == {
        "run": run.run,
        "checkpoint": "step-9",
        "changes": {"mixup": 0.1},
        "warm_start": False,
        "actor": "policy:nonfinite",
        "revert": True,
    }


def test_a_restarted_trainer_may_bring_a_child_that_nobody_heard_of(bench, run):
    """The log that told of the revert was cut off by the crash, and is completed by the restart."""
    run.end(-9)
    bench.round()
    bench.round(later=5)
    again = bench.trainer(run.run)
    again.say(*own_return(again, "rchild"))
    child = again.as_child("rchild")
    child.say(child.started(next_step=10))
    assert bench.get("/runs/rchild")["attempt"] == 2


def test_the_real_link_never_believes_that_it_lost_its_place(bench, run):
    """Two reverts that nobody asked for, told by the link's own threads over a real connection."""
    server = make_server("127.0.0.1", 0, bench.app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    lost = threading.Event()
    link = Link(
        f"http://127.0.0.1:{server.port}",
        run.token,
        run.attempt,
        heartbeat=lambda: Heartbeat(status=RunStatus.RUNNING, step=7, epoch=0),
        on_command=lambda command: None,
        on_lost=lost.set,
    )
    two, three = run.as_child("rtwo"), run.as_child("rthree")
    with bench.database.writing() as session:
        get_run(session, run.run).log_offset = 0
    run.write(run.started())
    link.follow(run.paths, 0)
    for before, after in ((run, two), (two, three)):
        before.write(*own_return(before, after.run))
        after.write(after.started(next_step=10))
        link.follow(after.paths, 0)
    three.write(status("finished"))
    link.nudge()
    deadline = time.monotonic() + 30
    while bench.ask("GET", "/runs/rthree").json["status"] != "finished":
        assert time.monotonic() < deadline, bench.ask("GET", "/runs").text
        time.sleep(0.02)
    assert link.finish(30)
    assert not lost.is_set()
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize("state", ["rejected", "failed"])
def test_a_policys_revert_that_did_not_act_makes_nothing(bench, run, state):
    receipt, _ = own_return(run, "rchild", state=state, after={}, reason="the file is damaged")
    run.say(receipt)
    assert bench.ask("GET", "/runs/rchild").status_code == 404
    assert bench.get(f"/runs/{run.run}")["status"] == "running"


def test_a_trainer_cannot_take_another_run_as_its_child(bench, run, caplog):
    other = bench.submit()
    other.say(other.started())
    run.say(*own_return(run, other.run))
    seen = bench.get(f"/runs/{other.run}")
    assert (seen["status"], seen["origin"], seen["attempt"]) == ("running", None, 1)
    assert run.as_child(other.run).beat().status_code == 403
    assert other.beat().status_code == 200
    assert "which exists" in caplog.text


def test_a_number_that_nobody_gave_is_no_command(bench, run, caplog):
    run.say(run.own(7, {"kind": "pause"}))
    assert bench.get(f"/runs/{run.run}/commands")["commands"] == []
    assert "a receipt for command 7, unknown" in caplog.text
