"""Suspending through the control API: the slot is free, and the run comes back in its turn."""

import pytest
from control_bench import Bench, status

from control_api.slots import cpu_slots
from midcourse.contract import environment


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, slots=cpu_slots(1))
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    """A run that trains."""
    run = bench.submit()
    run.say(run.started())
    return run


def seen(bench, run_id):
    return bench.get(f"/runs/{run_id}")


def commands(bench, run_id):
    found = bench.get(f"/runs/{run_id}/commands")["commands"]
    return [(each["action"]["kind"], each["state"]) for each in found]


def make_room(bench, run, *, code=0):
    """What the trainer does when it hears of a suspension."""
    command = next(each for each in run.poll() if each["action"]["kind"] == "suspend")
    run.say(
        run.done(command, before={"status": "running"}, after={"status": "suspended"}),
        status("suspended", step=5),
    )
    assert seen(bench, run.run)["slot"] == "cpu:0", "its process is still there"
    run.end(code)
    bench.round()


def test_a_suspended_run_makes_room_and_comes_back_in_its_turn(bench, run):
    other = bench.post("/runs", {"config": {}}, expect=201)["id"]
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    away = seen(bench, run.run)
    assert (away["status"], away["slot"], away["step"]) == ("suspended", None, 5)
    assert seen(bench, other)["slot"] == "cpu:0"
    bench.round(later=1000)
    assert seen(bench, run.run)["status"] == "suspended"
    bench.post(f"/runs/{run.run}/resume", expect=202)
    bench.round()
    waiting = seen(bench, run.run)
    assert (waiting["status"], waiting["queue_position"]) == ("queued", 1)
    rival = bench.trainer(other)
    rival.say(rival.started(), status("finished"))
    rival.end(0)
    bench.round()
    again = bench.trainer(run.run)
    assert again.attempt == 2
    assert bench.launcher.started[-1].environment[environment.HELD] == "2"
    (resume,) = again.poll()
    again.say(again.started(next_step=6), status("paused", step=5))
    again.say(again.done(resume, after={"status": "running"}), status("running", step=5))
    assert seen(bench, run.run)["status"] == "running"
    assert commands(bench, run.run) == [("suspend", "applied"), ("resume", "applied")]
    again.end(-9)
    bench.round()
    bench.round(later=5)
    assert environment.HELD not in bench.launcher.started[-1].environment


def test_a_queued_run_is_suspended_without_being_started(bench, run):
    other = bench.post("/runs", {"config": {}}, expect=201)["id"]
    bench.post(f"/runs/{other}/suspend", expect=202)
    bench.round()
    assert seen(bench, other)["status"] == "suspended"
    assert commands(bench, other) == [("suspend", "applied")]
    assert bench.get("/slots")["queue"] == []
    run.say(status("finished"))
    run.end(0)
    bench.round()
    assert len(bench.launcher.started) == 1
    bench.post(f"/runs/{other}/resume", expect=202)
    bench.round()
    assert bench.trainer(other).attempt == 1


@pytest.mark.parametrize("word", ["paused", "running", None])
def test_a_run_is_suspended_whatever_it_does(bench, word):
    run = bench.submit()
    if word is not None:
        run.say(run.started(), status(word))
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    assert seen(bench, run.run)["status"] == "suspended"


@pytest.mark.parametrize("code", [-9, 143, 1])
def test_a_trainer_that_dies_on_its_way_out_is_not_started_again(bench, run, code):
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    run.poll()
    run.end(code)
    bench.round()
    bench.round(later=100)
    away = seen(bench, run.run)
    assert (away["status"], away["slot"]) == ("suspended", None)
    (command,) = bench.get(f"/runs/{run.run}/commands")["commands"]
    assert command["state"] == "applied"
    assert "goes on from its last checkpoint" in command["receipt"]["reason"]
    assert len(bench.launcher.started) == 1


def test_a_run_that_crashed_is_suspended_at_once(bench, run):
    run.end(-9)
    bench.round()
    assert seen(bench, run.run)["status"] == "interrupted"
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    bench.round(later=10)
    assert seen(bench, run.run)["status"] == "suspended"
    assert len(bench.launcher.started) == 1


def test_a_suspension_that_fails_is_wished_no_longer(bench, run):
    """A full disk, say: the run goes on."""
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    (command,) = run.poll()
    run.say(run.done(command, "failed", reason="No space left on device"))
    run.end(-9)
    bench.round()
    bench.round(later=10)
    assert bench.trainer(run.run).attempt == 2


@pytest.mark.parametrize("when", ["while it goes", "when it is gone"])
def test_stop_ends_a_suspended_run_without_starting_it(bench, run, when):
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    if when == "while it goes":
        bench.post(f"/runs/{run.run}/stop", expect=202)
    make_room(bench, run)
    if when == "when it is gone":
        bench.post(f"/runs/{run.run}/stop", expect=202)
    bench.round()
    assert seen(bench, run.run)["status"] == "stopped"
    assert commands(bench, run.run) == [("suspend", "applied"), ("stop", "applied")]
    assert len(bench.launcher.started) == 1


def test_a_resume_that_overtakes_the_suspension_brings_it_straight_back(bench, run):
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    bench.post(f"/runs/{run.run}/resume", expect=202)
    make_room(bench, run)
    again = bench.trainer(run.run)
    assert again.attempt == 2
    assert [each["action"]["kind"] for each in again.poll()] == ["resume"]


def test_a_resume_that_is_withdrawn_leaves_it_suspended(bench, run):
    other = bench.post("/runs", {"config": {}, "priority": 1}, expect=201)["id"]
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    bench.post(f"/runs/{run.run}/resume", expect=202)
    bench.round()
    assert seen(bench, run.run)["status"] == "queued"
    assert bench.ask("DELETE", f"/runs/{run.run}/commands/2").status_code == 200
    bench.round()
    assert seen(bench, run.run)["status"] == "suspended"
    assert seen(bench, other)["slot"] == "cpu:0"


def test_suspended_again_before_its_turn_came(bench, run):
    bench.post("/runs", {"config": {}, "priority": 1}, expect=201)
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    bench.post(f"/runs/{run.run}/resume", expect=202)
    bench.round()
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    bench.round()
    assert seen(bench, run.run)["status"] == "suspended"
    assert commands(bench, run.run) == [
        ("suspend", "applied"),
        ("resume", "cancelled"),
        ("suspend", "applied"),
    ]


def test_a_run_is_not_suspended_twice(bench, run):
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    problem = bench.post(f"/runs/{run.run}/suspend", expect=409)
    assert problem["type"] == "/problems/run-not-ready"
    assert "is suspended already" in problem["detail"]


def test_commands_wait_while_it_is_away_and_act_when_it_is_back(bench, run):
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    answer = bench.ask("PATCH", f"/runs/{run.run}/params", {"optimizer.lr": 0.5})
    assert answer.status_code == 202
    bench.round()
    assert seen(bench, run.run)["status"] == "suspended"
    bench.post(f"/runs/{run.run}/resume", expect=202)
    bench.round()
    waiting = bench.trainer(run.run).poll()
    assert [each["action"]["kind"] for each in waiting] == ["set", "resume"]


def test_a_suspended_run_can_be_forked(bench, run):
    run.say(run.checkpoint("step-5"))
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    make_room(bench, run)
    for word in (None, "now", "latest"):
        body = {} if word is None else {"checkpoint": word}
        child = bench.post(f"/runs/{run.run}/fork", body, expect=201)
        assert child["origin"]["checkpoint"] == "step-5", word


def test_a_scheduled_suspension_acts_when_its_step_comes(bench, run):
    """Nobody wishes it before: a crash meanwhile does not suspend the run."""
    bench.post(f"/runs/{run.run}/suspend?at=step:50", expect=202)
    run.end(-9)
    bench.round()
    bench.round(later=5)
    again = bench.trainer(run.run)
    assert again.attempt == 2
    again.say(again.started(next_step=3))
    make_room(bench, again)
    bench.round(later=100)
    assert seen(bench, run.run)["status"] == "suspended"
    assert len(bench.launcher.started) == 2


def test_suspensions_are_not_counted_as_futile_attempts(bench, run):
    for _ in range(5):
        bench.post(f"/runs/{run.run}/suspend", expect=202)
        make_room(bench, bench.trainer(run.run))
        bench.post(f"/runs/{run.run}/resume", expect=202)
        bench.round()
    bench.trainer(run.run).end(-9)
    bench.round()
    assert seen(bench, run.run)["status"] == "interrupted"


def test_a_trainer_that_lingers_after_its_suspension_is_ended(bench, run):
    bench.post(f"/runs/{run.run}/suspend", expect=202)
    (command,) = run.poll()
    run.say(run.done(command), status("suspended"))
    bench.round()
    bench.round(later=100)
    assert bench.launcher.stopped == []
    bench.round(later=21)
    assert bench.launcher.stopped == [(f"{run.run}/1", False)]
    bench.round(later=121)
    assert bench.launcher.stopped[-1] == (f"{run.run}/1", True)
