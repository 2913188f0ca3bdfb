"""The sync job: what runs left behind comes to W&B, one run at a time, and nothing waits for it."""

import json
import os
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest
from control_bench import Bench, metrics, status
from sqlalchemy import event

from control_api import unsent
from control_api.sync_job import FIRST_PAUSE, LONGEST_PAUSE, MOST_TIME, MOST_TRIES
from control_api.tables import RunRow, SyncRow
from midcourse.contract.runs import TrackingStatus

KEY = "k" * 40
TRACKER = Path(__file__).parents[1] / "fake_tracker.py"


class SyncBench(Bench):
    """A control API with a key, and a tracker that does as it is told."""

    def __init__(self, home, **changes):
        home.mkdir(parents=True, exist_ok=True)
        (home / "tracker.json").write_text("{}")
        environment = {"WANDB_API_KEY": KEY, "PATH": os.environ["PATH"]}
        usual = {
            "sync_command": (sys.executable, str(TRACKER)),
            "helper_environment": environment,
            "trainer_folder": home,
        }
        super().__init__(home, **{**usual, **changes})

    def close(self):
        self.reconciler.sync.end()
        super().close()

    def ended_run(self, mode="offline", state="finished", word="finished", **more):
        """A run that has ended, whose tracker left this behind."""
        trainer = self.submit()
        self.track(trainer, mode=mode, state=state, **more)
        step = None if word == "suspended" else 3
        trainer.say(trainer.started(), metrics(3, loss=1.0), status(word, step=step))
        trainer.end(0)
        self.round()
        return trainer

    def track(self, trainer, **tracking):
        trainer.paths.tracking.mkdir(parents=True, exist_ok=True)
        trainer.paths.tracking_status.write_text(TrackingStatus(**tracking).to_json())

    def tracker(self, trainer, *, hangs=False, code=0, **says):
        """What the tracker of this run will do."""
        told = json.loads((self.home / "tracker.json").read_text())
        told[trainer.run] = {"hangs": hangs, "code": code}
        if says:
            told[trainer.run]["says"] = [TrackingStatus(**says).model_dump(mode="json")]
        (self.home / "tracker.json").write_text(json.dumps(told))

    def until(self, condition):
        """Rounds, some seconds apart on their clock, until something is so."""
        pause = threading.Event()
        while not (found := condition()):
            self.round(later=2.5)
            pause.wait(0.02)
        return found

    @property
    def order(self):
        file = self.home / "order"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def entry(self, trainer):
        """What `/sync` says of a run; None where it says nothing."""
        return next((one for one in self.get("/sync")["runs"] if one["run"] == trainer.run), None)


def is_gone(pid):
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


SENT = {"mode": "online", "state": "finished", "url": "https://wandb.example/r", "left": 0}


@pytest.fixture
def bench(tmp_path):
    bench = SyncBench(tmp_path / "home")
    yield bench
    bench.close()


def test_what_was_left_is_sent_one_run_after_the_other_the_oldest_first(bench):
    first = bench.ended_run("offline")
    second = bench.ended_run("online", "behind", left=12)
    done = bench.ended_run("online")
    told_off = bench.ended_run("disabled")
    for trainer in (first, second):
        bench.tracker(trainer, **SENT)
    bench.until(lambda: bench.get("/sync")["count"] == 0)
    assert bench.order == [f"{first.run} online kkk", f"{second.run} online kkk"]
    started = json.loads((bench.home / "start.json").read_text())
    assert started["argv"] == ["--finish-seconds=7200"], "a large upload takes its time"
    assert bench.get(f"/runs/{first.run}")["tracking"]["url"] == "https://wandb.example/r"
    assert "said on standard output" in first.paths.tracking_log.read_text()
    assert bench.get(f"/runs/{done.run}")["tracking"]["state"] == "finished"
    assert bench.get(f"/runs/{told_off.run}")["tracking"]["mode"] == "disabled"


def test_what_was_sent_to_another_server_is_not_moved_to_ours_unasked(bench):
    run = bench.ended_run(**SENT, server="http://127.0.0.1:4711")
    for _ in range(5):
        bench.round(later=60)
    assert (bench.entry(run), bench.order) == (None, [])
    assert bench.get(f"/runs/{run.run}")["tracking"]["server"] == "http://127.0.0.1:4711"


def test_while_a_run_is_sent_rounds_go_on_and_it_is_seen_how_much_is_left(bench):
    slow = bench.ended_run("offline")
    other = bench.ended_run("online", "failed")
    bench.tracker(slow, hangs=True, mode="online", state="running", left=1200, log_offset=10)
    bench.until(lambda: (bench.entry(slow) or {}).get("left") == 1200)
    told = bench.get("/sync")
    assert (told["notice"], told["sending"], told["count"]) == (None, slow.run, 2)
    assert told["left"] == 1200
    size = slow.offset
    assert bench.entry(slow) == {
        "run": slow.run,
        "name": None,
        "experiment": bench.get(f"/runs/{slow.run}")["experiment"],
        "state": "sending",
        "left": 1200,
        "bytes_left": size - 10,
        "tries": 0,
        "due_at": None,
        "error": None,
    }
    assert bench.entry(other)["state"] == "waiting"
    assert told["bytes_left"] == size - 10 + other.offset
    assert bench.submit().run, "another run is started meanwhile"
    assert bench.order == [f"{slow.run} online kkk"]


def test_a_failure_is_tried_again_later_and_later_and_not_for_ever(bench):
    run = bench.ended_run("online", "behind")
    bench.tracker(run, mode="offline", state="finished", error="W&B cannot be reached")
    pauses = []
    for tries in range(1, MOST_TRIES + 1):
        bench.until(lambda tries=tries: (bench.entry(run) or {}).get("tries") == tries)
        due = bench.entry(run)["due_at"]
        if due is not None:
            pauses.append(datetime.fromisoformat(due) - bench.clock)
            bench.clock = datetime.fromisoformat(due)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE
    entry = bench.entry(run)
    assert (entry["state"], entry["error"]) == ("given_up", "W&B cannot be reached")
    bench.round(later=MOST_TIME.total_seconds())
    bench.round(later=3)
    assert len(bench.order) == MOST_TRIES
    bench.tracker(run, **SENT)
    assert bench.post("/sync", expect=200)["runs"][0]["state"] == "waiting"
    bench.until(lambda: bench.entry(run) is None)
    [line] = bench.get("/audit?limit=1")["entries"]
    assert (line["action"], line["outcome"]) == ("sync", "accepted")


def test_one_that_fails_keeps_no_other_from_being_sent(bench):
    bad, good = bench.ended_run(), bench.ended_run()
    bench.tracker(bad, code=1)
    bench.tracker(good, **SENT)
    bench.until(lambda: bench.entry(good) is None)
    entry = bench.entry(bad)
    assert entry["tries"] == 1
    assert "W&B could not be reached" in entry["error"]


def test_a_tracker_that_is_still_at_work_is_waited_for(bench):
    run = bench.ended_run("online", "running")
    bench.tracker(run, code=4)
    for _ in range(5):
        bench.round(later=3)
    assert bench.order == [], "it may take a minute"
    bench.clock += 2 * FIRST_PAUSE
    entry = bench.until(lambda: (one := bench.entry(run)) and one["error"] and one)
    assert (entry["tries"], entry["error"]) == (0, "its own tracker is at work")
    bench.track(run, **SENT)  # it has come to its end
    bench.until(lambda: bench.entry(run) is None)


def test_what_a_person_has_sent_meanwhile_is_not_sent_again(bench):
    run = bench.ended_run("online", "behind")
    bench.tracker(run, code=1)
    bench.until(lambda: (bench.entry(run) or {}).get("tries") == 1)
    bench.track(run, **SENT)
    bench.until(lambda: bench.entry(run) is None)
    assert len(bench.order) == 1


@pytest.mark.parametrize("what", ["resumed", "deleted"])
def test_a_run_that_is_not_at_rest_any_more_is_left_alone(bench, what):
    run = bench.ended_run(word="suspended" if what == "resumed" else "finished")
    if what == "resumed":
        assert bench.get(f"/runs/{run.run}")["status"] == "suspended"
    bench.tracker(run, hangs=True)
    bench.until((bench.home / "hangs").exists)
    pid = int((bench.home / "hangs").read_text())
    if what == "resumed":
        bench.post(f"/runs/{run.run}/resume", expect=202)
    else:
        assert bench.ask("DELETE", f"/runs/{run.run}").status_code == 200
    bench.until(lambda: is_gone(pid))
    assert bench.get("/sync")["sending"] is None
    with bench.database.reading() as session:
        assert session.get(SyncRow, run.run) is None


def test_one_that_hangs_is_killed_and_tried_again(bench):
    run = bench.ended_run()
    bench.tracker(run, hangs=True)
    bench.until((bench.home / "hangs").exists)
    pid = int((bench.home / "hangs").read_text())
    bench.clock += MOST_TIME
    entry = bench.until(lambda: (one := bench.entry(run)) and one["error"] and one)
    assert entry["error"] == "it was not done after 2 hours"
    assert is_gone(pid)


def test_the_next_reconciler_goes_on_where_one_was_killed(bench, tmp_path):
    run = bench.ended_run()
    bench.tracker(run, hangs=True)
    bench.until((bench.home / "hangs").exists)
    bench.reconciler.stop()
    assert is_gone(int((bench.home / "hangs").read_text()))
    assert bench.get("/sync")["sending"] == run.run, "nobody could say otherwise"
    bench.tracker(run, **SENT)
    bench.reconciler = type(bench.reconciler)(
        bench.settings, bench.database, bench.launcher, now=lambda: bench.clock
    )
    bench.until(lambda: bench.entry(run) is None)
    assert len(bench.order) == 2


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"sync": False}, "MIDCOURSE_SYNC is off"),
        ({"helper_environment": {}}, "has no WANDB_API_KEY"),
        ({"helper_environment": {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}}, "WANDB_MODE"),
    ],
)
def test_where_nothing_can_be_sent_it_says_why(tmp_path, changes, notice):
    bench = SyncBench(tmp_path / "home", **changes)
    run = bench.ended_run("online", "behind", left=3)
    offline = bench.ended_run("offline")
    for _ in range(3):
        bench.round(later=60)
    told = bench.get("/sync")
    assert notice in told["notice"]
    assert bench.entry(run)["left"] == 3
    assert (bench.entry(offline) is None) == ("helper_environment" in changes)
    refused = bench.ask("POST", "/sync")
    assert (refused.status_code, refused.json["type"]) == (409, "/problems/cannot-send")
    assert notice in refused.json["detail"]
    assert bench.order == []
    bench.close()


def test_without_the_sdk_it_says_so_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(unsent, "SDK", "no_such_package_here")
    bench = SyncBench(tmp_path / "home")
    bench.ended_run()
    for _ in range(3):
        bench.round(later=60)
    told = [one for one in caplog.records if "no_such_package_here" in one.getMessage()]
    assert len(told) == 1
    assert "no_such_package_here is not installed" in bench.get("/sync")["notice"]
    assert bench.order == []
    bench.close()


def test_a_resumed_run_is_not_given_up_any_more(bench):
    run = bench.ended_run("offline", word="suspended")
    with bench.database.writing() as session:
        session.add(SyncRow(run_id=run.run, tries=MOST_TRIES, due_at=None, error="in vain"))
    assert bench.entry(run)["state"] == "given_up"
    bench.post(f"/runs/{run.run}/resume", expect=202)
    bench.round()
    with bench.database.reading() as session:
        assert session.get(SyncRow, run.run) is None


def test_of_many_runs_all_are_counted_and_no_more_is_read_than_is_told(bench):
    first = bench.ended_run("online", "behind", left=2, log_offset=10)
    with bench.database.writing() as session:
        pattern = session.get(RunRow, first.run)
        columns = {each.name: getattr(pattern, each.name) for each in RunRow.__table__.columns}
        for number in range(1100):
            session.add(RunRow(**{**columns, "id": f"rx{number}"}))
    asked = []
    event.listen(
        bench.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2])
    )
    told = bench.get("/sync")
    assert (told["count"], told["left"], len(told["runs"])) == (1101, 2202, 1000)
    assert told["bytes_left"] == 1101 * (first.offset - 10)
    assert asked
    assert not any("runs.config" in statement for statement in asked)


def test_while_there_is_nothing_to_send_all_runs_are_seldom_searched(bench):
    run = bench.ended_run("online", "behind")
    bench.tracker(run, code=1)
    bench.until(lambda: (bench.entry(run) or {}).get("tries") == 1)
    bench.round(later=2.5)  # finds nothing more
    asked = []
    event.listen(
        bench.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2])
    )
    for _ in range(5):
        bench.round(later=2.5)
    searches = [each for each in asked if "LEFT OUTER JOIN sync" in each]
    assert searches
    assert all("sync.due_at" in each.partition(" IN (SELECT")[2] for each in searches)
    asked.clear()
    bench.tracker(run, hangs=True)
    bench.post("/sync", expect=200)
    bench.round(later=2.5)
    assert bench.get("/sync")["sending"] == run.run, "that does not wait for a search"
