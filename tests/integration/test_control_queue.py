"""Slots and the queue: who trains where, who waits, and in which order."""

from datetime import datetime, timedelta

import pytest
from control_bench import Bench, status
from sqlalchemy.exc import IntegrityError

from control_api import slots
from control_api.attempts import end_attempt, open_attempt
from control_api.launchers.base import LaunchFailed
from control_api.lease import Lease, LeaseLost
from control_api.lifecycle import get_run
from control_api.settings import Settings
from control_api.slots import Slot, cpu_slots, parse_slots
from midcourse.contract import environment
from midcourse.contract.commands import Revert
from midcourse.contract.errors import InvalidInput

TWO = cpu_slots(2)


@pytest.fixture
def make(make_bench):
    return lambda **changes: make_bench(**{"slots": TWO, **changes})


@pytest.fixture
def bench(make):
    return make()


def submit(bench, **more):
    return bench.post("/runs", {"config": {}, **more}, expect=201)["id"]


def started(bench):
    return [spec.run_id for spec in bench.launcher.started]


def seen(bench, run):
    return bench.get(f"/runs/{run}")


def test_more_runs_than_slots_wait_for_their_turn(bench):
    first, second, third = (submit(bench) for _ in range(3))
    bench.round()
    assert started(bench) == [first, second]
    assert [seen(bench, run)["slot"] for run in (first, second, third)] == ["cpu:0", "cpu:1", None]
    waiting = seen(bench, third)
    assert (waiting["status"], waiting["queue_position"]) == ("queued", 1)
    assert waiting["waits_for"] == "It waits for a slot."
    trainer = bench.trainer(first)
    trainer.say(trainer.started(), status("finished"))
    bench.round()
    assert started(bench) == [first, second], "its process is still there"
    trainer.end(0)
    bench.round()
    assert started(bench) == [first, second, third]
    assert seen(bench, third)["slot"] == "cpu:0"
    assert seen(bench, third)["queue_position"] is None
    assert seen(bench, first)["slot"] is None


def test_priority_goes_before_age(bench):
    for _ in range(2):
        submit(bench)
    bench.round()
    old = submit(bench)
    urgent = submit(bench, priority=5)
    later = submit(bench, priority=5)
    low = submit(bench, priority=-1)
    queue = bench.get("/slots")["queue"]
    assert [each["run"] for each in queue] == [urgent, later, old, low]
    assert [each["position"] for each in queue] == [1, 2, 3, 4]
    assert [each["priority"] for each in queue] == [5, 5, 0, -1]


def test_the_slots_are_shown_with_their_runs(bench):
    run = submit(bench)
    bench.round()
    assert bench.get("/slots") == {
        "slots": [
            {"name": "cpu:0", "offered": True, "run": run, "status": "starting"},
            {"name": "cpu:1", "offered": True, "run": None, "status": None},
        ],
        "queue": [],
        "notice": None,
    }


def test_without_slots_a_run_says_what_it_waits_for(make):
    bench = make(slots=())
    run = submit(bench)
    bench.round()
    why = "There are no slots, so nothing starts: set MIDCOURSE_SLOTS."
    assert bench.get("/slots")["notice"] == why
    assert seen(bench, run)["waits_for"] == why


def test_a_paused_run_keeps_its_slot(make):
    bench = make(slots=cpu_slots(1))
    run = bench.submit()
    run.say(run.started(), status("paused"))
    submit(bench)
    bench.round()
    assert started(bench) == [run.run]
    assert seen(bench, run.run)["slot"] == "cpu:0"


def test_a_crashed_run_keeps_its_slot_until_it_is_restarted(make):
    bench = make(slots=cpu_slots(1))
    run = bench.submit()
    other = submit(bench, priority=9)
    run.end(-9)
    bench.round()
    assert seen(bench, run.run)["status"] == "interrupted"
    assert bench.get("/slots")["slots"][0]["status"] == "interrupted"
    bench.round(later=5)
    assert started(bench) == [run.run, run.run]
    for _ in range(2):
        bench.trainer(run.run).end(-9)
        bench.round()
        bench.round(later=60)
    assert seen(bench, run.run)["status"] == "failed", "so nobody waits for it for ever"
    bench.round()
    assert started(bench)[-1] == other


def test_a_revert_hands_the_slot_to_the_child(make):
    bench = make(slots=cpu_slots(1))
    run = bench.submit()
    run.say(run.started(), run.checkpoint("step-9"))
    bench.post(f"/runs/{run.run}/revert", {"checkpoint": "step-9"}, expect=202)
    (command,) = run.poll()
    child = Revert.model_validate(command["action"]).child
    run.say(run.done(command, after={"checkpoint": "step-9", "run": child}))
    bench.round()
    assert (seen(bench, run.run)["slot"], seen(bench, child)["slot"]) == (None, "cpu:0")
    assert seen(bench, run.run)["status"] == "superseded"
    assert bench.get("/slots")["slots"][0]["run"] == child


def test_a_slot_that_is_offered_no_longer_stays_with_its_run(make, tmp_path):
    old = make()
    run = old.submit()
    run.say(run.started())
    new = Bench(tmp_path / "0", slots=(Slot("gpu", 3),), database_url=old.settings.database_url)
    new.launcher = new.reconciler.trainers.launcher = old.launcher
    old.reconciler.stop()
    shown = new.get("/slots")["slots"]
    assert [(slot["name"], slot["offered"]) for slot in shown] == [
        ("gpu:3", True),
        ("cpu:0", False),
    ]
    run.end(-9)
    new.round(later=1)
    new.round(later=1)
    assert seen(new, run.run)["slot"] == "cpu:0", "it is restarted where it was"
    again = new.trainer(run.run)
    again.say(again.started(), status("finished"))
    again.end(0)
    new.round()
    assert [slot["name"] for slot in new.get("/slots")["slots"]] == ["gpu:3"]
    new.close()


def test_a_run_that_stands_first_and_cannot_start_holds_up_nobody(make, monkeypatch):
    bench = make(slots=cpu_slots(1))
    bad = submit(bench, priority=1)
    good = submit(bench)
    submitted = bench.launcher.submit

    def picky(spec):
        if spec.run_id == bad:
            raise LaunchFailed("no such program")
        return submitted(spec)

    monkeypatch.setattr(bench.launcher, "submit", picky)
    bench.round()
    assert (seen(bench, bad)["status"], seen(bench, bad)["error"]) == ("failed", "no such program")
    assert started(bench) == [good]


def test_a_slot_cannot_be_given_out_twice(bench):
    """Whatever the code believes: the database itself refuses."""
    runs = [submit(bench) for _ in range(2)]

    def give_out(run):
        with bench.database.writing() as session:
            get_run(session, run).slot = "cpu:0"

    give_out(runs[0])
    with pytest.raises(IntegrityError):
        give_out(runs[1])


def test_a_trainer_is_told_of_its_gpu_alone(make):
    bench = make(slots=(Slot("gpu", 2), Slot("cpu", 0)))
    for _ in range(2):
        submit(bench)
    bench.round()
    on_gpu, on_cpu = (spec.environment for spec in bench.launcher.started)
    assert (on_gpu["CUDA_VISIBLE_DEVICES"], on_gpu["CUDA_DEVICE_ORDER"]) == ("2", "PCI_BUS_ID")
    assert on_cpu["CUDA_VISIBLE_DEVICES"] == ""


def test_where_no_slot_is_a_gpu_nothing_is_hidden(make):
    bench = make(trainer_environment={"CUDA_VISIBLE_DEVICES": "1"})
    submit(bench)
    bench.round()
    (spec,) = bench.launcher.started
    assert spec.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_DEVICE_ORDER" not in spec.environment


# -- disobedience, and deaths at the wrong moment -------------------------------------------------


@pytest.mark.parametrize("verb", ["stop", "suspend"])
def test_a_trainer_that_does_not_hear_is_asked_and_then_killed(make, verb):
    bench = make(obey_seconds=60.0)
    run = bench.submit()
    run.say(run.started())
    run.beat(step=3)
    told = bench.post(f"/runs/{run.run}/{verb}", expect=202)
    bench.clock = datetime.fromisoformat(told["accepted_at"])
    run.poll()
    run.beat(step=3)
    bench.round(later=59)
    assert bench.launcher.stopped == []
    bench.round(later=2)
    assert bench.launcher.stopped == [(f"{run.run}/1", False)]
    assert f"has not heard the {verb} for 60 seconds" in seen(bench, run.run)["notice"]
    bench.round(later=60)
    assert bench.launcher.stopped[-1] == (f"{run.run}/1", True)
    assert "it is killed" in seen(bench, run.run)["notice"]
    run.end(-9)
    bench.round()
    (command,) = bench.get(f"/runs/{run.run}/commands")["commands"]
    assert seen(bench, run.run)["status"] == {"stop": "stopped", "suspend": "suspended"}[verb]
    assert command["state"] == "applied"
    assert seen(bench, run.run)["slot"] is None
    bench.round(later=100)
    assert started(bench) == [run.run]


def test_a_trainer_that_was_just_started_is_given_its_time(make):
    """What it is to do was asked for long ago, of the one before."""
    bench = make(obey_seconds=60.0)
    run = bench.submit()
    told = bench.post(f"/runs/{run.run}/stop", expect=202)
    with bench.database.writing() as session:
        attempt = open_attempt(session, get_run(session, run.run))
        attempt.started_at = datetime.fromisoformat(told["accepted_at"]) + timedelta(seconds=100)
        bench.clock = attempt.started_at
    bench.round(later=59)
    assert bench.launcher.stopped == []
    bench.round(later=2)
    assert bench.launcher.stopped == [(f"{run.run}/1", False)]


def test_a_start_that_was_given_up_is_killed_when_it_comes_after_all(bench, monkeypatch):
    """This process slept through its lease, and another has started the run meanwhile."""
    run = submit(bench)
    submitted = bench.launcher.submit

    def slow(spec):
        with bench.database.writing() as session:
            row = get_run(session, spec.run_id)
            attempt = open_attempt(session, row)
            end_attempt(session, row, attempt, None, "given up", bench.clock)
        return submitted(spec)

    monkeypatch.setattr(bench.launcher, "submit", slow)
    bench.round()
    assert bench.launcher.stopped == [(f"{run}/1", True)]


def test_who_has_lost_the_lease_starts_nothing(bench):
    run = submit(bench)
    bench.round()
    assert started(bench) == [run]
    other = submit(bench)
    with bench.database.writing() as session:
        assert Lease("reconciler", 60.0).claim(session, bench.clock + timedelta(seconds=100))
    with pytest.raises(LeaseLost):
        bench.reconciler.trainers.start(other)
    assert started(bench) == [run]


def test_a_machine_that_is_short_of_something_is_tried_again(bench, monkeypatch):
    def short(_spec):
        raise LaunchFailed("cannot allocate memory", may_pass=True)

    run = submit(bench)
    with monkeypatch.context() as patch:
        patch.setattr(bench.launcher, "submit", short)
        bench.round()
        assert seen(bench, run)["status"] == "interrupted"
    bench.round(later=10)
    assert started(bench) == [run]


def test_what_always_fails_to_start_says_why_in_the_end(bench, monkeypatch):
    def short(_spec):
        raise LaunchFailed("cannot allocate memory", may_pass=True)

    monkeypatch.setattr(bench.launcher, "submit", short)
    run = submit(bench)
    for _ in range(4):
        bench.round(later=400)
    assert seen(bench, run)["status"] == "failed"
    assert "cannot allocate memory" in seen(bench, run)["error"]


# -- the setting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu:0,gpu:2", ["gpu:0", "gpu:2"]),
        ("cpu:3", ["cpu:0", "cpu:1", "cpu:2"]),
        (" GPU:1 , cpu:1", ["gpu:1", "cpu:0"]),
        ("none", []),
        ("cpu:0", []),
    ],
)
def test_slots_can_be_named(text, names):
    assert [slot.name for slot in parse_slots(text, {})] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpu:1", "'tpu:1' is no slot"),
        ("4", "'4' is no slot"),
        ("gpu:0,gpu:0", "'gpu:0' is named twice"),
        ("cpu:2,cpu:1", "'cpu:1' is named twice"),
        ("cpu:1001", "at most 1000"),
        ("gpu:-1", "'gpu:-1' is no slot"),
    ],
)
def test_slots_that_mean_nothing_are_refused(text, message):
    with pytest.raises(InvalidInput) as refused:
        Settings.read({"MIDCOURSE_SLOTS": text})
    (fault,) = refused.value.faults
    assert fault.path == "MIDCOURSE_SLOTS"
    assert message in fault.message


@pytest.mark.parametrize(
    ("gpus", "visible", "names"),
    [
        (2, None, ["gpu:0", "gpu:1"]),
        (4, "3,1", ["gpu:3", "gpu:1"]),
        (2, "", ["cpu:0", "cpu:1", "cpu:2"]),
        (0, None, ["cpu:0", "cpu:1", "cpu:2"]),
    ],
)
def test_slots_are_found(monkeypatch, gpus, visible, names):
    monkeypatch.setattr("control_api.slots._count_gpus", lambda: gpus)
    monkeypatch.setattr("control_api.slots._count_cores", lambda: 3)
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [slot.name for slot in parse_slots("auto", environ)] == names


def test_gpus_are_counted_without_torch(monkeypatch, tmp_path):
    monkeypatch.setattr(slots, "_NVIDIA_GPUS", tmp_path / "gpus")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slots._count_gpus() == 3
    tool.unlink()
    assert slots._count_gpus() == 0
    for place in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / place).mkdir(parents=True)
    assert slots._count_gpus() == 2


def test_a_trainer_hears_nothing_of_the_apis_own_slots():
    read = Settings.read({"MIDCOURSE_SLOTS": "cpu:1", environment.HELD: "1", "OTHER": "2"})
    assert dict(read.trainer_environment) == {"OTHER": "2"}
