"""The trainer's side door: idempotent, in order, for its own run alone."""

import threading
import time

import pytest
from control_bench import Bench, deleted, lines, metrics, status


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    return bench.submit()


def test_a_trainers_token_is_for_its_own_link_alone(bench, run):
    other = bench.submit()
    headers = {"Authorization": f"Bearer {run.token}"}
    for method, path in [
        ("GET", "/api/v1/runs"),
        ("GET", f"/api/v1/runs/{run.run}"),
        ("POST", f"/api/v1/runs/{run.run}/pause"),
        ("POST", "/api/v1/runs"),
        ("GET", "/api/v1/nowhere"),
        ("GET", f"/api/v1/runs/{other.run}/link/commands?attempt=1"),
        ("POST", f"/api/v1/runs/{other.run}/link/report"),
        ("POST", "/api/v1/runs/rnobody/link/report"),
    ]:
        answer = bench.client.open(path, method=method, headers=headers)
        assert (answer.status_code, answer.json["type"]) == (403, "/problems/forbidden"), path


def test_people_have_no_business_there(bench, run):
    answer = run.link("GET", "commands?attempt=1", token=bench.token)
    assert answer.status_code == 403


def test_a_trainer_that_was_given_up_hears_that_it_has_lost_its_place(bench, run):
    run.say(run.started())
    run.end(-9)
    bench.round()
    answer = run.beat()
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/lost-place")


def test_the_token_goes_with_the_run(bench, run):
    run.say(run.started(), status("finished"))
    run.end(0)
    bench.round()
    assert run.beat().status_code == 401


def test_log_is_taken_in_order_and_once(bench, run):
    first, second = lines(run.started()), lines(metrics(0, loss=1.0))
    assert run.ship(first).json["next_offset"] == len(first)
    for again in (run.ship(first, offset=0), run.ship(second, offset=len(first) + 1)):
        assert (again.status_code, again.json["type"]) == (409, "/problems/wrong-offset")
        assert again.json["next_offset"] == len(first)
    whole = len(first) + len(second)
    assert run.ship(second, offset=len(first)).json["next_offset"] == whole
    assert run.ship(b"", offset=whole).json["next_offset"] == whole
    assert run.beat().json["next_offset"] == whole


def test_only_whole_lines_count(bench, run):
    started, torn = lines(run.started()), lines(metrics(0, loss=1.0))[:-5]
    assert run.ship(started + torn).json["next_offset"] == len(started)
    answer = run.ship(torn, offset=len(started))
    assert (answer.status_code, answer.json["detail"]) == (
        400,
        "Behind its first line, the body holds no whole line of run log.",
    )
    answer = run.link("POST", "report?attempt=1&offset=0", data=b"")
    assert (answer.status_code, answer.json["detail"]) == (
        400,
        "The body holds no whole line, ended by a newline.",
    )
    assert bench.get(f"/runs/{run.run}")["metrics"] == {}


@pytest.mark.parametrize(
    "damage", [b"not json\n", b'{"type": "riddle"}\n', b"\xff\n", b"\n", b"[" * 99999 + b"\n"]
)
def test_a_damaged_line_does_not_hold_up_the_rest(bench, run, damage):
    data = lines(run.started()) + damage + lines(metrics(3, loss=0.5))
    assert run.ship(data).json["next_offset"] == len(data)
    seen = bench.get(f"/runs/{run.run}")
    assert seen["metrics"] == {"loss": 0.5}
    assert "damaged line at byte" in seen["notice"]


def test_a_large_chunk_is_taken_a_larger_one_is_not(tmp_path):
    bench = Bench(tmp_path, max_body_bytes=1000, max_log_bytes=100_000)
    run = bench.submit()
    run.say(run.started(), *[metrics(step, loss=1.0) for step in range(500)])
    answer = run.ship(b"x" * 100_001)
    assert (answer.status_code, answer.content_type) == (413, "application/problem+json")
    bench.close()


def test_a_redo_repeats_itself_without_harm(bench, run):
    """After a crash the trainer says again what it redoes; the present follows the log."""
    run.say(run.started(), metrics(0, loss=3.0))
    bench.ask("PATCH", f"/runs/{run.run}/params", {"optimizer.lr": 0.5})
    (command,) = run.poll()
    done = run.done(command, step=0, after={"optimizer.lr": 0.5})
    run.say(done, run.checkpoint("step-0"), metrics(1, loss=2.0), deleted("step-0"))
    run.say(run.started(), metrics(0, loss=3.0), done)
    assert bench.get(f"/runs/{run.run}/params")["values"]["optimizer.lr"] == 0.5
    assert bench.get(f"/runs/{run.run}")["metrics"]["loss"] == 2.0  # of the furthest step
    assert len(bench.get(f"/runs/{run.run}/commands")["commands"]) == 1
    assert bench.get(f"/runs/{run.run}")["checkpoints"] == 0


def test_values_are_right_after_a_restart_that_does_not_repeat_its_receipts(bench, run):
    run.say(run.started())
    for value, step in ((0.3, 5), (0.5, 20)):
        bench.ask("PATCH", f"/runs/{run.run}/params", {"optimizer.lr": value})
        (command,) = run.poll()
        run.say(run.done(command, step=step, after={"optimizer.lr": value}))
    run.say(run.started(next_step=10, **{"optimizer.lr": 0.3}))
    assert bench.get(f"/runs/{run.run}/params")["values"]["optimizer.lr"] == 0.5


def test_a_heartbeat_corrects_what_a_restart_does_not_repeat(bench, run):
    run.beat(status="paused")
    assert bench.get(f"/runs/{run.run}")["status"] == "starting"
    run.say(run.started())
    run.beat(status="paused")
    assert bench.get(f"/runs/{run.run}")["status"] == "paused"


def test_a_checkpoint_that_a_redo_writes_again_is_there_again(bench, run):
    written = run.checkpoint("step-0")
    run.say(run.started(), written, deleted("step-0"))
    assert bench.get(f"/runs/{run.run}/checkpoints")["checkpoints"] == []
    run.say(written)
    (found,) = bench.get(f"/runs/{run.run}/checkpoints")["checkpoints"]
    assert (found["name"], found["state_hash"]) == ("step-0", "a" * 64)


def test_an_old_attempt_has_lost_its_place(bench, run):
    for answer in (
        run.ship(b"", attempt=0),
        run.ship(b"", attempt=2),
        run.beat(attempt=2),
        run.link("GET", "commands?attempt=2"),
    ):
        assert (answer.status_code, answer.json["type"]) == (409, "/problems/lost-place")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("report?offset=0", "attempt: is missing"),
        ("report?attempt=1", "offset: is missing"),
        ("report?attempt=1&offset=-1", "offset: "),
        (f"report?attempt=1&offset={10**30}", "offset: "),
        ("report?attempt=one&offset=0", "attempt: "),
    ],
)
def test_a_malformed_address_of_a_report(run, what, message):
    answer = run.link("POST", what, data=b"\n")
    assert answer.status_code == 422
    assert message in answer.json["detail"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "sleeping"}, "status: "),
        ({"step": "7"}, "step: must be a whole number"),
        ({"mood": "good"}, "mood: is not a known key"),
        ({"epoch": 10**30}, "epoch: "),
    ],
)
def test_a_malformed_heartbeat(run, changes, message):
    answer = run.beat(**changes)
    assert answer.status_code == 422
    assert message in answer.json["detail"]


def test_a_heartbeat_tells_where_the_trainer_is_but_not_how_it_ended(bench, run):
    run.say(run.started())
    run.beat(status="finished", step=50, epoch=3)
    seen = bench.get(f"/runs/{run.run}")
    assert (seen["status"], seen["step"], seen["epoch"]) == ("running", 50, 3)
    run.say(status("finished", step=99))
    run.beat(step=50)
    seen = bench.get(f"/runs/{run.run}")
    assert (seen["status"], seen["step"], seen["steps_per_second"]) == ("finished", 99, None)


def test_commands_come_in_order_again_and_again_until_they_are_taken(bench, run):
    for verb in ("pause", "resume", "checkpoint"):
        bench.post(f"/runs/{run.run}/{verb}", expect=202)
    assert [command["seq"] for command in run.poll()] == [1, 2, 3]
    assert [command["seq"] for command in run.poll()] == [1, 2, 3]
    assert [command["seq"] for command in run.poll(after=2)] == [3]
    assert run.poll(after=3) == []
    run.say(run.started(), run.done(run.poll()[0]))
    assert [command["seq"] for command in run.poll()] == [2, 3]


def test_a_long_poll_wakes_at_once(bench, run, monkeypatch):
    monkeypatch.setattr("control_api.bell.LOOK_SECONDS", 60)  # so that only the bell wakes it
    came = []
    poller = threading.Thread(target=lambda: came.append(run.poll(wait=30)))
    poller.start()
    poller.join(0.2)  # most likely it waits by now
    bench.post(f"/runs/{run.run}/pause", expect=202)
    accepted = time.monotonic()
    poller.join(20)
    assert [command["action"]["kind"] for command in came[0]] == ["pause"]
    assert time.monotonic() - accepted < 5


def test_a_long_poll_hears_of_other_processes(bench, run, tmp_path):
    other = Bench(tmp_path)  # another process that serves the same database: another bell
    came = []
    poller = threading.Thread(target=lambda: came.append(run.poll(wait=30)))
    poller.start()
    headers = {"Authorization": f"Bearer {bench.token}"}
    other.client.post(f"/api/v1/runs/{run.run}/pause", headers=headers)
    poller.join(20)
    assert [command["action"]["kind"] for command in came[0]] == ["pause"]
    other.close()


def test_a_long_poll_ends_with_the_process(bench, run):
    poller = threading.Thread(target=lambda: run.poll(wait=30))
    poller.start()
    bench.database.bell.silence()
    poller.join(10)
    assert not poller.is_alive()
