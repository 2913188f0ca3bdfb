"""The control API with trainers as containers, as far as no engine is needed to see it."""

import dataclasses

import pytest
from control_bench import status

from control_api.container_settings import ContainerSettings
from control_api.reconciler import Reconciler
from midcourse.contract import environment

CONTAINERS = ContainerSettings(
    image="midcourse",
    mounts=("runs:/data/runs",),
    api_url="http://api:8080",
    user="1000:1000",
    allowed_images=("lab/*",),
)


@pytest.fixture
def bench(make_bench):
    return make_bench(containers=CONTAINERS, trainer_command=("python", "-m", "trainer"))


def submit(bench, **more):
    run = bench.post("/runs", {"config": {}, **more}, expect=201)
    bench.round()
    return run["id"]


# -- what a trainer is told -------------------------------------------------------------------


def test_a_trainer_is_told_of_paths_and_addresses_as_it_sees_them(bench):
    run = submit(bench)
    [spec] = bench.launcher.started
    assert spec.argv == ("python", "-m", "trainer", f"/data/runs/{run}/params.json")
    assert spec.environment[environment.HOME] == "/data"
    assert spec.environment[environment.API_URL] == "http://api:8080"
    assert "CUDA_VISIBLE_DEVICES" not in spec.environment
    assert spec.console == bench.home / "runs" / run / "console.log"
    assert (spec.slot, spec.experiment, spec.image) == ("cpu:0", "default", None)


def test_a_run_may_bring_an_image_and_a_command_and_its_branches_keep_them(bench):
    command = ["python", "my.py", "--config={params}", ""]
    run = bench.post(
        "/runs", {"config": {"a": 1}, "image": "lab/model:2", "command": command}, expect=201
    )
    assert (run["image"], run["command"]) == ("lab/model:2", command)
    bench.round()
    [spec] = bench.launcher.started
    assert spec.image == "lab/model:2"
    assert spec.argv == ("python", "my.py", f"--config=/data/runs/{run['id']}/params.json", "")
    replay = bench.post(f"/runs/{run['id']}/replay", {}, expect=201)
    assert (replay["image"], replay["command"]) == ("lab/model:2", command)
    trainer = bench.trainer(run["id"])
    trainer.say(trainer.started())
    fork = bench.post(f"/runs/{run['id']}/fork", {}, expect=201)
    assert (fork["image"], fork["command"]) == ("lab/model:2", command)


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (
            {"image": "evil/model"},
            "image",
            "'evil/model' is not allowed here; MIDCOURSE_ALLOWED_IM",
        ),
        ({"image": "--privileged"}, "image", "must match ^[A-Za-z0-9]"),
        ({"image": ""}, "image", "at least 1 character"),
        ({"command": []}, "command", "at least 1 item"),
        ({"command": ["a", 1]}, "command.1", "must be a string, not 1"),
    ],
)
def test_what_cannot_be_started_is_refused_at_once(bench, body, path, message):
    problem = bench.post("/runs", {"config": {}, **body}, expect=422)
    [fault] = problem["faults"]
    assert fault["path"] == path
    assert message in fault["message"]
    assert bench.get("/runs")["total"] == 0


@pytest.mark.parametrize("body", [{"image": "lab/model"}, {"command": ["python", "-c", "1"]}])
def test_processes_have_no_images_and_run_no_commands_of_others(make_bench, body):
    problem = make_bench().post("/runs", {"config": {}, **body}, expect=422)
    [fault] = problem["faults"]
    assert fault["path"] in body
    assert "MIDCOURSE_LAUNCHER=docker" in fault["message"]


# -- an engine that does not answer -----------------------------------------------------------


def test_while_the_engine_is_away_nothing_is_started_and_nobody_is_taken_for_dead(bench):
    training = bench.trainer(submit(bench))
    training.say(training.started())
    bench.launcher.unreachable = "the Docker engine does not answer"
    training.end(1)
    waiting = submit(bench)
    bench.round(later=600)
    assert bench.get(f"/runs/{training.run}")["status"] == "running"
    seen = bench.get(f"/runs/{waiting}")
    why = "Nothing is started just now: the Docker engine does not answer."
    assert (seen["status"], seen["waits_for"]) == ("queued", why)
    assert bench.get("/slots")["notice"] == why
    assert len(bench.launcher.started) == 1
    bench.launcher.unreachable = None
    bench.round()
    bench.round(later=5)
    assert bench.get(f"/runs/{waiting}")["status"] == "starting"
    starts = [(spec.run_id, spec.attempt) for spec in bench.launcher.started]
    assert sorted(starts) == sorted([(training.run, 1), (training.run, 2), (waiting, 1)])
    assert bench.get("/slots")["notice"] is None


def test_without_the_usual_image_trainers_are_looked_after_and_none_is_started(bench):
    training = bench.trainer(submit(bench))
    training.say(training.started())
    bench.launcher.missing = "the Docker engine has no image midcourse"
    waiting = submit(bench)
    seen = bench.get(f"/runs/{waiting}")
    assert (seen["status"], "has no image midcourse" in seen["waits_for"]) == ("queued", True)
    training.write(status("finished", step=0))
    training.end(0)
    bench.round()
    assert bench.launcher.forgotten == [f"{training.run}/1"]
    bench.launcher.missing = None
    bench.round()
    assert bench.get(f"/runs/{waiting}")["status"] == "starting"


def test_an_engine_that_goes_away_in_the_middle_of_a_start_costs_no_run(bench):
    bench.launcher.goes_away = "the Docker engine does not answer"
    first, second = submit(bench), submit(bench)
    assert bench.get(f"/runs/{first}")["status"] == "starting"
    assert bench.get(f"/runs/{second}")["status"] == "queued"
    bench.launcher.goes_away = bench.launcher.unreachable = None
    bench.round(later=1)
    bench.round(later=5)
    assert {spec.run_id: spec.attempt for spec in bench.launcher.started} == {first: 2, second: 1}


def test_a_trouble_that_is_over_is_not_told_by_whoever_takes_over(bench):
    """The reconciler died with it; its successor has the same name."""
    bench.launcher.unreachable = "the Docker engine does not answer"
    waiting = submit(bench)
    assert "does not answer" in bench.get(f"/runs/{waiting}")["waits_for"]
    bench.launcher.unreachable = None
    holder = bench.reconciler.lease.holder
    bench.reconciler = Reconciler(
        bench.settings, bench.database, bench.launcher, now=lambda: bench.clock, holder=holder
    )
    bench.launcher.refuses = "no matter"
    bench.round()
    assert bench.get("/slots")["notice"] is None


def test_an_engine_that_goes_away_between_two_questions_does_not_stop_the_round(bench, caplog):
    training = bench.trainer(submit(bench))
    training.say(training.started())
    bench.launcher.look = list
    bench.launcher.unreachable = "the Docker engine does not answer"
    bench.post(f"/runs/{training.run}/pause", expect=202)
    waiting = submit(bench)
    assert "trainers cannot be looked at" in caplog.text
    assert bench.get(f"/runs/{waiting}")["status"] == "starting"


def test_what_is_for_a_container_never_runs_as_a_process(make_bench):
    """It was submitted when trainers were containers."""
    bench = make_bench(containers=CONTAINERS)
    run = bench.post("/runs", {"config": {}, "command": ["sh", "-c", "exit"]}, expect=201)["id"]
    bench.reconciler.trainers.settings = dataclasses.replace(bench.settings, containers=None)
    bench.round()
    assert bench.launcher.started == []
    seen = bench.get(f"/runs/{run}")
    assert (seen["status"], "are for containers" in seen["error"]) == ("failed", True)


# -- what is left of trainers -----------------------------------------------------------------


def test_what_is_left_of_a_trainer_goes_once_its_end_is_noted(bench):
    run = bench.trainer(submit(bench))
    run.say(run.started())
    bench.round()
    assert bench.launcher.forgotten == []
    run.end(0)
    bench.round()
    assert bench.launcher.forgotten[0] == f"{run.run}/1"


def test_what_an_earlier_reconciler_left_goes_and_what_is_in_use_or_not_ours_stays(bench):
    """It died between the note of the end and the rest."""
    ended, training = (bench.trainer(submit(bench)) for _ in range(2))
    ended.say(ended.started())
    training.say(training.started())
    ended.end(0)
    bench.round()
    bench.launcher.forgotten.clear()
    elsewhere = bench.launcher.started[0]
    bench.launcher.started.append(type(elsewhere)(**{**vars(elsewhere), "run_id": "rnotours1"}))
    bench.round(later=61)
    assert set(bench.launcher.forgotten) == {f"{ended.run}/1"}
