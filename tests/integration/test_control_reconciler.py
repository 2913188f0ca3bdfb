"""The reconciler against a launcher that does what the test says: levels, attempts, restarts."""

import threading
from datetime import timedelta

import pytest
from control_bench import Bench, metrics, status

from control_api.attempts import begin_attempt, open_attempt
from control_api.bell import Bell
from control_api.database import Database
from control_api.folder import write_params
from control_api.lifecycle import get_run
from control_api.reconciler import Reconciler
from midcourse.contract import environment
from midcourse.contract.runs import TrackingStatus


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_a_queued_run_is_started_once(bench):
    run = bench.submit(seed=3)
    bench.round()
    (spec,) = bench.launcher.started
    assert spec.argv == (*bench.settings.trainer_command, str(run.paths.params_file))
    assert '"seed": 3' in run.paths.params_file.read_text()
    variables = spec.environment
    assert variables[environment.HOME] == str(bench.home)
    assert variables[environment.RUN_ID] == run.run
    assert variables[environment.ATTEMPT] == "1"
    assert variables[environment.API_URL] == "http://127.0.0.1:8080"
    assert environment.ORIGIN not in variables
    assert run.token not in " ".join(spec.argv)
    assert run.token not in repr(spec)
    assert bench.get(f"/runs/{run.run}")["status"] == "starting"


def test_what_was_not_shipped_is_read_from_the_folder(bench):
    run = bench.submit()
    run.say(run.started())
    run.write(run.started(), metrics(5, loss=0.5), status("finished", step=5, summary={"a": 1}))
    run.end(0)
    bench.round()
    seen = bench.get(f"/runs/{run.run}")
    assert (seen["status"], seen["step"], seen["summary"]) == ("finished", 5, {"a": 1})
    assert seen["metrics"] == {"loss": 0.5}


def test_a_log_beyond_one_chunk_is_read_to_its_end(bench, monkeypatch):
    monkeypatch.setattr("control_api.log_lines.LOG_CHUNK_BYTES", 100)
    run = bench.submit()
    run.write(run.started(), *[metrics(step, loss=1.0) for step in range(50)], torn=b'{"ty')
    run.end(None)
    bench.round()
    assert bench.get(f"/runs/{run.run}/metrics")["metrics"]["loss"]["steps"] == list(range(50))


def test_a_silent_trainers_log_is_read_while_it_trains(bench):
    """It may be unable to reach us, as when the API came back at another port."""
    run = bench.submit()
    run.write(run.started(), metrics(1, loss=1.0))
    bench.round()
    assert bench.get(f"/runs/{run.run}")["status"] == "starting"
    bench.round(later=11)
    seen = bench.get(f"/runs/{run.run}")
    assert (seen["status"], seen["metrics"]) == ("running", {"loss": 1.0})


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(2, "refused (exit code 2)"), (0, "does not say how the run ended")],
)
def test_what_would_end_the_same_way_is_not_tried_again(bench, exit_code, words):
    run = bench.submit()
    run.paths.console_log.write_text("--- attempt 1\noptimizer.lr: must be above 0\n")
    run.end(exit_code)
    bench.round()
    bench.round(later=100)
    seen = bench.get(f"/runs/{run.run}")
    assert seen["status"] == "failed"
    assert words in seen["error"]
    assert seen["error"].endswith("It printed:\noptimizer.lr: must be above 0")
    assert len(bench.launcher.started) == 1


def test_waiting_for_a_run_that_cannot_begin_is_no_success(bench):
    """A configuration that the trainer refuses is a 422 with its faults, if the client waits."""

    def refuse():
        while not bench.launcher.started:
            bench.round()
        spec = bench.launcher.started[0]
        spec.console.write_text("optimizer.lr: must be above 0\nand so on\n")
        bench.trainer(spec.run_id).end(2)
        bench.round()

    trainer = threading.Thread(target=refuse)
    trainer.start()
    body = {"config": {"optimizer": {"lr": 0}}}
    problem = bench.post("/runs", body, expect=422, headers={"Prefer": "wait=30"})
    trainer.join()
    assert problem["type"] == "/problems/configuration-refused"
    assert [(fault["path"], fault["message"]) for fault in problem["faults"]] == [
        ("config.optimizer.lr", "must be above 0"),
        ("", "and so on"),
    ]
    assert bench.get(f"/runs/{problem['run']}")["status"] == "failed"


def test_a_configuration_that_has_trained_is_not_what_is_wrong(bench):
    """Exit code 2 is also that of a trainer whose lock is still held by what was left behind."""
    run = bench.submit()
    run.say(run.started())
    run.beat(step=5)
    run.end(-9)
    bench.round()
    bench.trainer(run.run).end(2)
    bench.round()
    bench.round(later=60)
    assert bench.get(f"/runs/{run.run}")["status"] == "starting"
    assert bench.trainer(run.run).attempt == 3


def test_a_program_that_failed_says_why_itself(bench):
    run = bench.submit()
    run.write(run.started(), status("failed", reason="ValueError: no such class", step=3))
    run.end(1)
    bench.round()
    bench.round(later=100)
    seen = bench.get(f"/runs/{run.run}")
    assert (seen["status"], seen["error"]) == ("failed", "ValueError: no such class")
    assert len(bench.launcher.started) == 1


@pytest.mark.parametrize("exit_code", [143, 130, -9, -11, 134, 1, None])
def test_an_interrupted_run_goes_on_as_a_new_attempt(bench, exit_code):
    run = bench.submit()
    run.say(run.started(), metrics(3, loss=1.0))
    run.beat(step=3)
    run.end(exit_code)
    bench.round()
    bench.round()
    again = bench.trainer(run.run)
    assert again.attempt == 2
    assert again.token != run.token
    assert bench.get(f"/runs/{run.run}")["status"] == "starting"
    again.say(again.started(next_step=2))
    assert bench.get(f"/runs/{run.run}")["status"] == "running"


def test_commands_wait_while_the_trainer_is_away(bench):
    run = bench.submit()
    run.say(run.started())
    bench.post(f"/runs/{run.run}/pause", expect=202)
    run.poll()
    run.end(-9)
    bench.round()
    bench.post(f"/runs/{run.run}/resume", expect=202)
    bench.round(later=5)
    again = bench.trainer(run.run)
    assert [command["action"]["kind"] for command in again.poll()] == ["pause", "resume"]


def test_attempts_that_get_nowhere_come_to_an_end(bench):
    run = bench.submit()
    for attempt in (1, 2, 3):
        bench.trainer(run.run).end(-11)
        bench.round()
        assert len(bench.launcher.started) == attempt
        bench.round(later=60)
    seen = bench.get(f"/runs/{run.run}")
    assert seen["status"] == "failed"
    assert "3 times in a row without getting further, the last time by SIGSEGV" in seen["error"]


def test_the_more_futile_the_later(bench):
    run = bench.submit()
    run.end(-9)
    bench.round()
    bench.clock += timedelta(seconds=0.5)
    bench.round()
    assert len(bench.launcher.started) == 1
    bench.round(later=1)
    assert len(bench.launcher.started) == 2
    bench.trainer(run.run).end(-9)
    bench.round()
    bench.round(later=0.5)
    assert len(bench.launcher.started) == 2
    bench.round(later=2)
    assert len(bench.launcher.started) == 3


def test_progress_forgives(bench):
    run = bench.submit()
    for attempt in range(1, 8):
        trainer = bench.trainer(run.run)
        assert trainer.attempt == attempt
        trainer.beat(step=attempt * 10)
        trainer.end(-9)
        bench.round()
        bench.round(later=60)
    assert bench.get(f"/runs/{run.run}")["status"] == "starting"


def test_a_trainer_that_cannot_be_started_is_told(bench):
    bench.launcher.refuses = "python could not be started: no such file"
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    bench.round()
    bench.launcher.refuses = None
    bench.round(later=100)
    seen = bench.get(f"/runs/{run}")
    assert (seen["status"], seen["error"]) == (
        "failed",
        "python could not be started: no such file",
    )


def test_death_between_start_and_note_starts_nothing_twice(bench):
    run = bench.submit()
    with bench.database.writing() as session:
        open_attempt(session, get_run(session, run.run)).handle = None
    bench.round()
    assert len(bench.launcher.started) == 1
    with bench.database.reading() as session:
        assert open_attempt(session, get_run(session, run.run)).handle == {"id": f"{run.run}/1"}


def test_death_between_intent_and_start_is_made_good(bench):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    with bench.database.writing() as session:
        begin_attempt(session, get_run(session, run), "bench", bench.clock, "cpu:0")
    bench.round()
    assert bench.launcher.started == [], "whoever noted the intent may be about to start it"
    bench.round(later=bench.settings.lease_seconds)
    bench.round(later=5)
    assert [(spec.run_id, spec.attempt) for spec in bench.launcher.started] == [(run, 2)]


def test_one_reconciler_at_a_time(bench):
    other_database = Database(bench.settings.database_url, Bell())
    other = Reconciler(bench.settings, other_database, bench.launcher, now=lambda: bench.clock)
    bench.round()
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    other.reconcile()
    assert bench.launcher.started == []
    bench.clock += timedelta(seconds=bench.settings.lease_seconds + 1)  # the first one died
    other.reconcile()
    assert [spec.run_id for spec in bench.launcher.started] == [run]
    bench.round()  # and comes back: the place is taken
    other.stop()
    other_database.close()


def test_a_run_that_makes_trouble_does_not_hold_up_others(bench, monkeypatch):
    first = bench.post("/runs", {"config": {}}, expect=201)["id"]
    second = bench.post("/runs", {"config": {}}, expect=201)["id"]

    def troubled(home, run):
        if run.id == first:
            raise RuntimeError("surprise")
        write_params(home, run)

    monkeypatch.setattr("control_api.trainers.write_params", troubled)
    bench.round()
    assert [spec.run_id for spec in bench.launcher.started] == [second]


def test_a_trainer_that_outlives_its_run_is_asked_to_end(bench):
    run = bench.submit()
    run.say(run.started(), status("finished"))
    bench.round(later=60)
    assert bench.launcher.stopped == []
    bench.round(later=90)  # counted from the end of the run, which is by the real clock
    bench.round(later=120)
    assert [force for _, force in bench.launcher.stopped] == [False, True]


def test_the_trackers_last_words_are_heard(bench):
    run = bench.submit()
    run.say(run.started(), status("finished"))
    run.end(0)
    bench.round()
    assert bench.get(f"/runs/{run.run}")["tracking"] is None
    words = TrackingStatus(mode="offline", folder="/x", state="finished", log_offset=7)
    run.paths.tracking.mkdir(parents=True)
    run.paths.tracking_status.write_text(words.to_json())
    bench.round(later=1)
    assert bench.get(f"/runs/{run.run}")["tracking"]["state"] == "finished"
