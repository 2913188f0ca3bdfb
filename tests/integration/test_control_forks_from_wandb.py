"""Forks of checkpoints in W&B: they wait for theirs, and what becomes of them."""

import json
import os
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from control_bench import Bench, status
from served import wait_for
from sqlalchemy.exc import OperationalError

from control_api.lease import LeaseLost
from control_api.reconciler import Reconciler
from midcourse.contract import environment
from midcourse.contract.paths import RunPaths

FAKE = Path(__file__).resolve().parents[1] / "fake_fetch.py"
SOURCE = "lab/digits/rfar@best"
OUTAGE = {"code": 75, "says": "lab/digits/rfar-checkpoint:best cannot be had: api did not answer"}
ARRIVES = {"checkpoint": "step-40"}


class Fetching:
    """A control API whose fetches go as planned."""

    def __init__(self, folder, **changes):
        folder.mkdir()
        self.folder = folder
        path = os.pathsep.join([str(FAKE.parents[1]), str(FAKE.parent)])
        self.bench = Bench(
            folder / "home",
            fetch_command=(sys.executable, str(FAKE), str(folder)),
            helper_environment={"PYTHONPATH": path, "WANDB_API_KEY": "a-key"},
            **changes,
        )

    def plan(self, *steps, source=SOURCE):
        file = self.folder / "plan.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**known, source: steps}))

    def calls(self):
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def fork(self, source=SOURCE, **more):
        return self.bench.post("/forks", {"source": source, **more}, expect=202)

    def until(self, holds):
        """Rounds of the reconciler, at the same moment, until something holds."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.calls()
            self.bench.round()
            time.sleep(0.01)

    def run(self, run_id):
        return self.bench.get(f"/runs/{run_id}")

    def until_status(self, run_id, *statuses):
        self.until(lambda: self.run(run_id)["status"] in statuses)
        return self.run(run_id)


@pytest.fixture
def fetching(tmp_path):
    made = Fetching(tmp_path / "there")
    yield made
    made.bench.reconciler.fetches.stop()
    made.bench.close()


def is_there(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_fork_waits_for_its_checkpoint_and_starts_from_it(fetching):
    fetching.plan(ARRIVES)
    fork = fetching.fork(changes={"optimizer.lr": 1, "mixup": 0.5}, name="bolder")
    assert fork["status"] == "queued"
    assert fork["waits_for"] == f"It waits for its checkpoint from W&B, {SOURCE}."
    assert fork["queue_position"] is None
    assert (fork["origin"]["run"], fork["origin"]["checkpoint"]) == ("rfar", None)
    assert fork["links"]["wandb"] == "https://wandb.ai/lab/digits/runs/rfar"
    begun = fetching.until_status(fork["id"], "starting")
    assert (begun["experiment"], begun["source"]) == ("digits", SOURCE)
    assert begun["config"] == {"experiment": "digits", "optimizer": {"lr": 0.1}, "seed": 3}
    [spec] = fetching.bench.launcher.started
    origin = json.loads(spec.environment[environment.ORIGIN])
    assert origin == begun["origin"]
    assert (origin["run"], origin["checkpoint"]) == ("rfar", "step-40")
    assert origin["changes"] == {"optimizer.lr": 1.0, "mixup": 0.5}
    assert origin["warm_start"] is False
    pins = RunPaths(fetching.bench.home, "rfar").pins("step-40")
    assert [pin.name for pin in pins.iterdir()] == [fork["id"]]
    assert [call["key"] for call in fetching.calls()] == ["a-key"]


def test_a_config_is_merged_into_the_other_runs(fetching):
    fetching.plan(ARRIVES)
    fork = fetching.fork(config={"model": {"hidden": 8}, "seed": None, "experiment": "wide"})
    assert fork["experiment"] == "wide"
    begun = fetching.until_status(fork["id"], "starting")
    assert begun["config"] == {
        "experiment": "wide",
        "optimizer": {"lr": 0.1},
        "model": {"hidden": 8},
    }
    assert begun["origin"]["warm_start"] is True


def test_the_parent_is_shown_as_what_it_is(fetching):
    fetching.plan(ARRIVES)
    fork = fetching.until_status(fetching.fork()["id"], "starting")
    parent = fetching.run("rfar")
    assert (parent["status"], parent["source"]) == ("imported", "lab/digits/rfar")
    assert parent["links"]["wandb"] == "https://wandb.ai/lab/digits/runs/rfar"
    assert (parent["step"], parent["metrics"]) == (40, {"test/accuracy": 0.9})
    assert (parent["values"], parent["name"]) == ({"optimizer.lr": 0.1}, "far away")
    assert (parent["attempt"], parent["started_at"], parent["ended_at"]) == (0, None, None)
    assert (parent["checkpoints"], parent["origin"]) == (1, None)
    bench = fetching.bench
    tree = bench.get(f"/runs/{fork['id']}/lineage")["tree"]
    assert (tree["id"], [child["id"] for child in tree["children"]]) == ("rfar", [fork["id"]])
    assert [run["id"] for run in bench.get("/runs?status=imported")["runs"]] == ["rfar"]
    [digits] = bench.get("/experiments")["experiments"]
    assert digits["statuses"] == {"imported": 1, "starting": 1}


@pytest.mark.parametrize("verb", ["pause", "stop", "suspend", "resume", "undo", "checkpoint"])
def test_an_imported_run_takes_no_commands(fetching, verb):
    fetching.plan(ARRIVES)
    fetching.until_status(fetching.fork()["id"], "starting")
    problem = fetching.bench.post(f"/runs/rfar/{verb}", expect=409)
    assert "it is imported, and takes no more commands" in problem["detail"]


def test_an_imported_run_is_forked_as_others_are(fetching):
    fetching.plan(ARRIVES)
    fetching.until_status(fetching.fork()["id"], "starting")
    again = fetching.bench.post("/runs/rfar/fork", {"changes": {"mixup": 0.1}}, expect=201)
    assert again["origin"]["checkpoint"] == "step-40"
    assert (again["origin"]["warm_start"], again["source"]) == (False, None)
    fetching.until_status(again["id"], "starting")
    assert len(fetching.calls()) == 1


@pytest.mark.parametrize("verb", ["fork", "fork?dry_run=true", "replay"])
def test_a_fork_is_no_parent_before_its_own_is_known(fetching, verb):
    fetching.plan({**ARRIVES, "takes": "go"})
    fork = fetching.fork(config={"seed": 9})["id"]
    problem = fetching.bench.post(f"/runs/{fork}/{verb}", {}, expect=409)
    assert problem["type"] == "/problems/run-not-ready"
    assert problem["detail"].endswith("comes with that checkpoint: wait until it is here.")
    (fetching.folder / "go").touch()
    fetching.until_status(fork, "starting")
    again = fetching.bench.post(f"/runs/{fork}/replay", {}, expect=201)
    assert again["config"] == fetching.run(fork)["config"]


def test_a_fork_whose_checkpoint_never_came_is_not_repeated(fetching):
    fetching.plan({"code": 1, "says": "there is no such artifact"})
    fork = fetching.until_status(fetching.fork()["id"], "failed")["id"]
    problem = fetching.bench.post(f"/runs/{fork}/replay", {}, expect=409)
    assert "comes with that checkpoint, which never came." in problem["detail"]


def test_many_forks_of_one_checkpoint_fetch_it_once(fetching):
    fetching.plan({**ARRIVES, "takes": "go"})
    first = [fetching.fork()["id"] for _ in range(3)]
    fetching.until(lambda: len(fetching.calls()) == 1)
    late = fetching.fork()["id"]
    (fetching.folder / "go").touch()
    for fork in (*first, late):
        fetching.until_status(fork, "starting")
    assert len(fetching.calls()) == 1
    pins = RunPaths(fetching.bench.home, "rfar").pins("step-40")
    assert {pin.name for pin in pins.iterdir()} == {*first, late}
    assert fetching.bench.get("/runs?status=imported")["total"] == 1


def test_what_fails_for_good_fails_the_run_with_that_sentence(fetching):
    fetching.plan({"code": 1, "says": "there is no artifact lab/digits/rfar-checkpoint:best"})
    fork = fetching.until_status(fetching.fork()["id"], "failed")
    assert fork["error"] == "there is no artifact lab/digits/rfar-checkpoint:best."
    assert fetching.bench.launcher.started == []
    assert fetching.bench.get("/runs")["total"] == 1
    assert len(fetching.calls()) == 1


def test_what_may_pass_is_tried_again_with_growing_pauses(fetching):
    fetching.plan(OUTAGE, OUTAGE, OUTAGE, ARRIVES)
    fork = fetching.fork()["id"]
    for tries, pause in ((1, 5), (2, 10), (3, 20)):
        fetching.until(lambda tries=tries: OUTAGE["says"] in fetching.run(fork)["waits_for"])
        assert len(fetching.calls()) == tries
        due = fetching.bench.clock + timedelta(seconds=pause)
        assert f"It is tried again at {due:%H:%M:%S} UTC." in fetching.run(fork)["waits_for"]
        fetching.bench.round(later=pause - 1)
        assert len(fetching.calls()) == tries
        fetching.bench.round(later=1)
        fetching.until(lambda tries=tries: len(fetching.calls()) == tries + 1)
        fetching.until(lambda: not fetching.bench.reconciler.fetches.under_way)
    assert fetching.until_status(fork, "starting")["waits_for"] is None


def test_trying_again_has_an_end(tmp_path):
    fetching = Fetching(tmp_path / "there", fetch_tries=3)
    fetching.plan(OUTAGE)
    fork = fetching.fork()["id"]
    for _ in range(3):
        calls = len(fetching.calls())
        fetching.until(lambda calls=calls: len(fetching.calls()) == calls + 1)
        fetching.until(lambda: not fetching.bench.reconciler.fetches.under_way)
        fetching.bench.round(later=400)
    failed = fetching.until_status(fork, "failed")
    assert failed["error"] == f"{OUTAGE['says']}. It was tried 3 times."
    fetching.bench.reconciler.fetches.stop()
    fetching.bench.close()


def test_a_fetch_that_hangs_is_ended_and_tried_again(fetching):
    fetching.plan({"hangs": True}, ARRIVES)
    fork = fetching.fork()["id"]
    fetching.until(lambda: len(fetching.calls()) == 1)
    fetching.bench.round(later=3601)
    [call] = fetching.calls()
    assert not is_there(call["pid"])
    waits_for = fetching.run(fork)["waits_for"]
    assert f"W&B did not hand over {SOURCE} within 60 minutes. It is tried again" in waits_for
    fetching.bench.round(later=5)
    fetching.until_status(fork, "starting")


def test_what_nobody_waits_for_any_more_is_not_fetched_on(fetching):
    fetching.plan({"hangs": True})
    fork = fetching.fork()["id"]
    fetching.until(lambda: len(fetching.calls()) == 1)
    fetching.bench.post(f"/runs/{fork}/stop", expect=202)
    fetching.until_status(fork, "stopped")
    fetching.bench.round()
    [call] = fetching.calls()
    assert not is_there(call["pid"])


def test_the_next_reconciler_fetches_what_the_last_one_did_not(fetching):
    fetching.plan({"hangs": True}, OUTAGE, ARRIVES)
    bench = fetching.bench
    fork = fetching.fork()["id"]
    fetching.until(lambda: len(fetching.calls()) == 1)
    for _ in range(2):  # with the second one, what is noted of the outage lives on
        bench.reconciler.stop()
        assert not any(is_there(call["pid"]) for call in fetching.calls())
        bench.reconciler = Reconciler(
            bench.settings, bench.database, bench.launcher, now=lambda: bench.clock
        )
        calls = len(fetching.calls())
        bench.round(later=5)
        fetching.until(lambda calls=calls: len(fetching.calls()) == calls + 1)
        fetching.until(lambda: not bench.reconciler.fetches.under_way)
    fetching.until_status(fork, "starting")


def test_who_loses_the_lease_leaves_its_fetches_to_the_next(fetching):
    fetching.plan({"hangs": True}, ARRIVES)
    bench = fetching.bench
    fork = fetching.fork()["id"]
    fetching.until(lambda: len(fetching.calls()) == 1)
    slow = bench.reconciler
    bench.reconciler = Reconciler(
        bench.settings, bench.database, bench.launcher, now=lambda: bench.clock
    )
    bench.round(later=bench.settings.lease_seconds + 1)
    slow.reconcile()
    assert slow.fetches.under_way == []
    assert not is_there(fetching.calls()[0]["pid"])
    fetching.until_status(fork, "starting")


def test_a_run_that_is_known_here_is_the_parent_at_once(fetching):
    bench = fetching.bench
    parent = bench.submit(seed=4)
    parent.say(parent.started(), parent.checkpoint("step-9", best=True), status("finished"))
    source = f"lab/digits/{parent.run}@best"
    fetching.plan({"checkpoint": "step-9"}, source=source)
    problem = bench.post("/forks", {"source": source, "changes": {"mxup": 1}}, expect=422)
    assert "Did you mean mixup?" in problem["faults"][0]["message"]
    fork = fetching.fork(source, changes={"mixup": 0.7})
    assert fork["links"]["parent"] == f"/api/v1/runs/{parent.run}"
    assert fork["config"] == {"seed": 4, "experiment": "default"}
    begun = fetching.until_status(fork["id"], "starting")
    assert begun["origin"]["checkpoint"] == "step-9"
    assert begun["origin"]["warm_start"] is False
    assert (fetching.run(parent.run)["status"], bench.get("/runs")["total"]) == ("finished", 2)


def test_a_deleted_run_stays_deleted_and_its_fork_starts(fetching):
    bench = fetching.bench
    parent = bench.submit()
    parent.say(parent.started(), status("finished"))
    parent.end(0)
    bench.round()
    assert bench.ask("DELETE", f"/runs/{parent.run}").status_code == 200
    source = f"lab/digits/{parent.run}"
    fetching.plan(ARRIVES, source=f"{source}@latest")
    fork = fetching.until_status(fetching.fork(source)["id"], "starting")
    assert fork["config"]["optimizer"] == {"lr": 0.1}
    assert bench.ask("GET", f"/runs/{parent.run}").status_code == 410
    tree = bench.get(f"/runs/{fork['id']}/lineage")["tree"]
    assert tree["deleted_at"] is not None


def test_an_imported_run_is_deleted_but_for_what_its_forks_need(fetching):
    fetching.plan(ARRIVES)
    bench = fetching.bench
    fork = fetching.until_status(fetching.fork()["id"], "starting")
    paths = RunPaths(bench.home, "rfar")
    paths.imported.write_text("{}")
    report = bench.ask("DELETE", "/runs/rfar").json
    assert report["checkpoints_kept"] == [{"name": "step-40", "needed_by": [fork["id"]]}]
    assert paths.checkpoint("step-40").exists()
    assert paths.imported.exists()
    trainer = bench.trainer(fork["id"])
    trainer.say(status("finished"))
    trainer.end(0)
    bench.round()
    assert bench.ask("DELETE", f"/runs/{fork['id']}").status_code == 200
    assert not paths.folder.exists()


def test_a_checkpoint_that_goes_before_it_is_kept_is_fetched_again(fetching, monkeypatch):
    monkeypatch.setattr("control_api.pins.PAUSE_SECONDS", 0)
    fetching.plan({"checkpoint": "step-40", "takes": "go"}, ARRIVES)
    fork = fetching.fork()["id"]
    fetching.until(lambda: len(fetching.calls()) == 1)
    (fetching.folder / "go").touch()
    manifest = RunPaths(fetching.bench.home, "rfar").checkpoint("step-40") / "manifest.json"
    wait_for(manifest.exists, bool)
    [call] = fetching.calls()
    wait_for(lambda: Path(f"/proc/{call['pid']}/stat").read_text().split()[2], "Z".__eq__)
    manifest.unlink()
    fetching.bench.round()
    assert "has been deleted meanwhile. It is tried again" in fetching.run(fork)["waits_for"]
    fetching.bench.round(later=5)
    fetching.until_status(fork, "starting")


def test_the_newest_checkpoint_tells_where_an_imported_run_was(fetching):
    for source, name in (
        (SOURCE, "step-40"),
        ("lab/digits/rfar@v9", "step-90"),
        ("lab/digits/rfar@v1", "step-10"),
    ):
        fetching.plan({"checkpoint": name}, source=source)
        fetching.until_status(fetching.fork(source)["id"], "starting")
    assert (fetching.run("rfar")["step"], fetching.run("rfar")["checkpoints"]) == (90, 3)


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"source": "rfar"}, "source", "is no checkpoint in W&B; write entity/project/run@best"),
        ({"source": "lab/digits/Rfar"}, "source", "'Rfar' is not the id of a run of Midcourse"),
        (
            {"source": "https://wandb.example/lab/digits/runs/rfar"},
            "source",
            "is a page of wandb.example, and the server that is used here is wandb.ai",
        ),
        ({"source": SOURCE, "config": {"experiment": "a b"}}, "config.experiment", "must be"),
        ({"source": SOURCE, "changes": {"optimizer.lr": -1}}, "changes.optimizer.lr", "must be"),
        ({"source": SOURCE, "image": "lab/model:2"}, "image", "is for runs in containers"),
        ({}, "source", "missing"),
    ],
)
def test_what_cannot_be_is_refused_at_once(fetching, body, path, message):
    problem = fetching.bench.post("/forks", body, expect=422)
    [fault] = problem["faults"]
    assert fault["path"] == path
    assert message in fault["message"]
    assert fetching.bench.get("/runs")["total"] == 0


def test_without_a_key_there_is_no_fork_to_wait_for(tmp_path):
    bench = Bench(tmp_path)
    problem = bench.post("/forks", {"source": SOURCE}, expect=409)
    assert problem["type"] == "/problems/no-wandb-key"
    assert "so it cannot fetch a checkpoint from W&B. Set it and start" in problem["detail"]
    assert bench.get("/runs")["total"] == 0
    bench.close()


def test_a_repeated_request_makes_one_fork(fetching):
    fetching.plan(ARRIVES)
    headers = {"Idempotency-Key": "once"}
    body = {"source": SOURCE}
    first, second = (fetching.bench.ask("POST", "/forks", body, headers=headers) for _ in range(2))
    assert (first.json["id"], second.headers["Idempotency-Replayed"]) == (second.json["id"], "true")


def test_what_no_database_can_hold_does_not_come_back_for_ever(fetching, monkeypatch):
    def refuse(*_):
        raise ValueError("nested too deeply")

    monkeypatch.setattr("control_api.fetching.begin_from", refuse)
    fetching.plan(ARRIVES)
    fork = fetching.until_status(fetching.fork()["id"], "failed")
    assert fork["error"] == f"what {SOURCE} says of its run cannot be kept."
    pins = RunPaths(fetching.bench.home, "rfar").pins("step-40")
    assert list(pins.iterdir()) == []


@pytest.mark.parametrize("experiment", [{"name": "digits"}, 7, "a b/c", None])
def test_what_a_foreign_configuration_calls_experiment_is_no_experiment_of_ours(
    fetching, experiment
):
    fetching.plan({**ARRIVES, "config": {"experiment": experiment}})
    fork = fetching.until_status(fetching.fork()["id"], "starting")
    assert (fork["experiment"], fork["config"]["experiment"]) == ("digits", "digits")
    assert fork["origin"]["warm_start"] is False
    runs = fetching.bench.get("/runs")["runs"]
    assert [run["experiment"] for run in runs] == ["digits", "digits"]
    [digits] = fetching.bench.get("/experiments")["experiments"]
    assert digits["name"] == "digits"


def test_a_step_beyond_every_number_is_no_checkpoint(fetching):
    fetching.plan({**ARRIVES, "record": {"step": 2**53}})
    fork = fetching.until_status(fetching.fork()["id"], "failed")
    assert f"what the fetch of {SOURCE} said is no answer" in fork["error"]


def test_what_is_too_large_for_a_database_does_not_come_back_for_ever(fetching, monkeypatch):
    def refuse(*_):
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    monkeypatch.setattr("control_api.fetching.begin_from", refuse)
    fetching.plan(ARRIVES)
    fork = fetching.until_status(fetching.fork()["id"], "failed")
    assert fork["error"] == f"what {SOURCE} says of its run cannot be kept."
    assert len(fetching.calls()) == 1


@pytest.mark.parametrize("name", ["begin_from", "pin"])
def test_trouble_that_nobody_foresaw_is_tried_again_with_pauses(fetching, monkeypatch, name):
    def refuse(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"control_api.fetching.{name}", refuse)
        fetching.plan(ARRIVES)
        fork = fetching.fork()["id"]
        trouble = f"{SOURCE} is here, and could not be taken over: OSError"
        fetching.until(lambda: trouble in fetching.run(fork)["waits_for"])
        for _ in range(3):
            fetching.bench.round()
        assert len(fetching.calls()) == 1
        pins = RunPaths(fetching.bench.home, "rfar").pins("step-40")
        assert not pins.exists() or list(pins.iterdir()) == []
    fetching.bench.round(later=5)
    fetching.until_status(fork, "starting")


@pytest.mark.parametrize("away", [LeaseLost(), OperationalError("COMMIT", {}, Exception("gone"))])
def test_who_cannot_tell_whether_a_fork_began_keeps_its_checkpoint(fetching, monkeypatch, away):
    def fail(*_):
        raise away

    fetching.plan(ARRIVES)
    fork = fetching.fork()["id"]
    pins = RunPaths(fetching.bench.home, "rfar").pins("step-40")
    with monkeypatch.context() as patched:
        patched.setattr("control_api.fetching.begin_from", fail)
        with pytest.raises(type(away)):
            fetching.until(lambda: False)
        assert [pin.name for pin in pins.iterdir()] == [fork]
        assert "It is tried again" not in fetching.run(fork)["waits_for"]
    fetching.until_status(fork, "starting")
