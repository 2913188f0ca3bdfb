"""As a newcomer would: the real control API, the real trainer, and curl."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.acceptance

CONFIG: dict[str, Any] = {
    "experiment": "digits",
    "data": {"name": "digits", "batch_size": 64},
    "model": {"name": "mlp", "dropout": 0.2},
    "train": {
        "epochs": 100_000,
        "eval_every": "20 epochs",
        "checkpoint_every": "200 steps",
        "device": "cpu",
    },
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if found := condition():
            return found
        pause.wait(0.05)
    raise AssertionError(f"waited in vain for {what}")


class ControlApi:
    """The API as a process, and curl as its client."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.environment = {
            **os.environ,
            "MIDCOURSE_HOME": str(home),
            "WANDB_MODE": "offline",
            "OMP_NUM_THREADS": "1",
            "MIDCOURSE_SLOTS": "cpu:8",
        }
        self.environment.pop("WANDB_API_KEY", None)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "control_api", f"--port={self.port}"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )
        wait_for("the API", lambda: self.curl("GET", "/healthz", token=None)[0] == 200)
        self.token = (self.home / "token").read_text().strip()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(30) == 0
            self._process = None

    def clear_away(self) -> None:
        """End the API and, should a test have failed, the trainers that it left."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        for pid in self.trainers():
            os.kill(pid, signal.SIGKILL)

    def curl(
        self, method: str, path: str, body: str | None = None, token: str | None = "own", *more: str
    ) -> tuple[int, Any]:
        """Status and JSON (None where there is no body)."""
        headers = ["-H", "Content-Type: application/json"] if body is not None else []
        if token is not None:
            headers += ["-H", f"Authorization: Bearer {self.token if token == 'own' else token}"]
        done = subprocess.run(
            [
                "curl",
                "-s",
                "-X",
                method,
                "-w",
                "\n%{http_code}",
                *headers,
                *more,
                *(["-d", body] if body is not None else []),
                f"http://127.0.0.1:{self.port}{path}",
            ],
            capture_output=True,
            text=True,
        )
        text, _, code = done.stdout.rpartition("\n")
        return int(code), json.loads(text) if text else None

    def run(self, run_id: str) -> dict[str, Any]:
        code, run = self.curl("GET", f"/api/v1/runs/{run_id}")
        assert code == 200
        found: dict[str, Any] = run
        return found

    def submit(self, config: dict[str, Any]) -> str:
        code, run = self.curl("POST", "/api/v1/runs", json.dumps({"config": config}))
        assert code == 201, run
        return str(run["id"])

    def command(self, run_id: str, verb: str, body: str | None = None) -> dict[str, Any]:
        """Send a command and wait for its receipt, which must say applied."""
        method, path = ("PATCH", "params") if verb == "change" else ("POST", verb)
        code, answer = self.curl(
            method, f"/api/v1/runs/{run_id}/{path}", body, "own", "-H", "Prefer: wait=30"
        )
        assert code == 200, answer
        assert answer["state"] == "applied", answer
        receipt: dict[str, Any] = answer["receipt"]
        return receipt

    def wait_for_step(self, run_id: str, step: int) -> dict[str, Any]:
        found: dict[str, Any] = wait_for(
            f"step {step} of {run_id}",
            lambda: (run := self.run(run_id))["step"] is not None and run["step"] >= step and run,
        )
        return found

    def wait_for_end(self, run_id: str) -> dict[str, Any]:
        ended = {"finished", "stopped", "failed", "superseded"}
        found: dict[str, Any] = wait_for(
            f"the end of {run_id}", lambda: (run := self.run(run_id))["status"] in ended and run
        )
        return found

    def last_hash(self, run_id: str) -> str:
        _, answer = self.curl("GET", f"/api/v1/runs/{run_id}/checkpoints")
        return str(answer["checkpoints"][-1]["state_hash"])

    def trainers(self, *variables: str) -> list[int]:
        """The trainers of this home whose environment has all these variables."""
        wanted = {f"MIDCOURSE_HOME={self.home}", *variables}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_text().split("\0")
                environment = (folder / "environ").read_text().split("\0")
                if "trainer" in command and wanted <= set(environment):
                    found.append(int(folder.name))
        return found

    def trainer_pid(self, run_id: str) -> int:
        """The one process whose environment says that it trains this run."""
        [pid] = self.trainers(f"MIDCOURSE_RUN_ID={run_id}")
        return pid


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlApi]:
    made = ControlApi(tmp_path_factory.mktemp("home"))
    try:
        made.start()
        yield made
        for run in made.curl("GET", "/api/v1/runs")[1]["runs"]:
            if run["status"] in ("starting", "running", "paused"):
                made.curl("POST", f"/api/v1/runs/{run['id']}/stop")
                made.wait_for_end(run["id"])
    finally:
        made.clear_away()


@pytest.fixture(scope="module")
def steered(api: ControlApi) -> str:
    """A run long enough for all that is done to it here."""
    run_id = api.submit(CONFIG)
    api.wait_for_step(run_id, 10)
    return run_id


def test_pause_edit_and_resume(api: ControlApi, steered: str) -> None:
    paused = api.command(steered, "pause")
    assert paused["after"] == {"status": "paused"}
    edited = api.command(steered, "change", '{"optimizer.lr": 0.0125, "model.dropout": 0.1}')
    assert edited["step"] == paused["step"]
    assert edited["before"] == {"optimizer.lr": 0.05, "model.dropout": 0.2}
    assert edited["after"] == {"optimizer.lr": 0.0125, "model.dropout": 0.1}
    assert api.run(steered)["status"] == "paused"
    assert api.run(steered)["step"] == paused["step"]
    resumed = api.command(steered, "resume")
    assert resumed["step"] == paused["step"]
    after = paused["step"] + 1

    def rates() -> dict[int, float]:
        _, answer = api.curl("GET", f"/api/v1/runs/{steered}/metrics?keys=train/lr")
        series = answer["metrics"]["train/lr"]
        return dict(zip(series["steps"], series["values"], strict=True))

    # A heartbeat may tell of a step before the log does, which has its metrics.
    used = wait_for(f"the metrics of step {after}", lambda: after in (seen := rates()) and seen)
    assert used[paused["step"]] == 0.05
    assert used[after] == 0.0125


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("PATCH", "params", '{"optimizer.lr": NaN}', 400, "NaN"),
        ("PATCH", "params", '{"optimizer.lr": 1e999}', 400, "1e999"),
        ("PATCH", "params", '{"optimizer.lr": "true"}', 422, "optimizer.lr"),
        ("PATCH", "params", '{"optimizer.lr": true}', 422, "must be a number"),
        ("PATCH", "params", '{"optimizer.lr": -1}', 422, "above 0"),
        ("PATCH", "params", '{"optimzer.lr": 0.1}', 422, "Did you mean optimizer.lr?"),
        ("PATCH", "params", '{"optimizer.lr": 0.1', 400, "JSON"),
        ("PATCH", "params", "[1]", 400, "object"),
        ("PATCH", "params", '{"train.epochs": 0}', 422, "at least 1"),
        ("POST", "revert", '{"checkpoint": "step-99999999"}', 422, "step-99999999"),
        ("POST", "fork", '{"checkpoint": "yesterday"}', 422, "yesterday"),
        ("POST", "pause", '{"now": 1}', 422, "now"),
        ("POST", "explode", None, 404, ""),
        ("DELETE", "params", None, 405, ""),
    ],
)
def test_bad_requests_are_named_and_the_run_goes_on(
    api: ControlApi, steered: str, method: str, path: str, body: str | None, status: int, told: str
) -> None:
    before = api.run(steered)["step"]
    code, problem = api.curl(method, f"/api/v1/runs/{steered}/{path}", body)
    assert code == status, problem
    assert told in json.dumps(problem)
    assert problem["status"] == code
    api.wait_for_step(steered, before + 1)


def test_wrong_token_and_wrong_run(api: ControlApi, steered: str) -> None:
    for token in (None, "", "mc_wrong"):
        code, problem = api.curl("POST", f"/api/v1/runs/{steered}/stop", None, token)
        assert code == 401, problem
    code, problem = api.curl("POST", "/api/v1/runs/rnobody/pause")
    assert code == 404
    assert "rnobody" in json.dumps(problem)
    assert api.run(steered)["status"] == "running"


def test_the_api_stops_and_starts_while_the_trainer_trains(api: ControlApi, steered: str) -> None:
    pid, before = api.trainer_pid(steered), api.run(steered)["step"]
    api.stop()
    log = api.home / "runs" / steered / "runlog.jsonl"
    size = log.stat().st_size
    wait_for("steps without an API", lambda: log.stat().st_size > size + 20_000)
    api.start()
    assert api.trainer_pid(steered) == pid
    api.wait_for_step(steered, before + 100)
    assert api.run(steered)["attempt"] == 1
    _, answer = api.curl(
        "GET", f"/api/v1/runs/{steered}/metrics?keys=train/batch_loss&limit=100000"
    )
    steps = answer["metrics"]["train/batch_loss"]["steps"]
    assert steps == list(range(len(steps))), "rows were lost or doubled"


def learning_rates(api: ControlApi, run_id: str) -> dict[int, float]:
    """The rate that each step used."""
    _, answer = api.curl("GET", f"/api/v1/runs/{run_id}/metrics?keys=train/lr&limit=100000")
    series = answer["metrics"]["train/lr"]
    return dict(zip(series["steps"], series["values"], strict=True))


def test_an_edit_waits_for_its_step_and_is_made_once(api: ControlApi, steered: str) -> None:
    paused = api.command(steered, "pause")["step"]
    path = f"/api/v1/runs/{steered}/params?at=step:{paused + 40}"
    key = ("own", "-H", "Idempotency-Key: an-edit-of-the-rate")
    (code, first), (again, second) = (
        api.curl("PATCH", path, '{"optimizer.lr": 0.03}', *key) for _ in range(2)
    )
    assert (code, again, first["seq"]) == (202, 202, second["seq"])
    code, problem = api.curl("PATCH", path, '{"optimizer.lr": 0.04}', *key)
    assert (code, problem["type"]) == (422, "/problems/idempotency-key-reused")
    receipt = api.command(steered, "resume", '{"steps": 60}')
    assert receipt["after"]["pause_after_step"] == paused + 60
    wait_for("the pause", lambda: api.run(steered)["status"] == "paused")
    assert api.run(steered)["step"] == paused + 60
    _, done = api.curl("GET", f"/api/v1/runs/{steered}/commands/{first['seq']}")
    assert (done["state"], done["receipt"]["step"]) == ("applied", paused + 40)
    used = wait_for(
        "what the last step used",
        lambda: (rates := learning_rates(api, steered)).get(paused + 60) and rates,
    )
    assert (used[paused + 40], used[paused + 41]) == (
        done["receipt"]["before"]["optimizer.lr"],
        0.03,
    )
    api.command(steered, "resume")


def test_a_dry_run_changes_nothing_and_what_waits_is_withdrawn(
    api: ControlApi, steered: str
) -> None:
    api.command(steered, "change", '{"model.dropout": 0.35}')  # to have something to undo
    before = api.run(steered)
    wait = ("own", "-H", "Prefer: wait=30")
    path = f"/api/v1/runs/{steered}"
    code, tried = api.curl("PATCH", f"{path}/params?dry_run=true", '{"model.dropout": 0.9}', *wait)
    assert (code, tried["state"]) == (200, "checked")
    assert tried["receipt"]["after"] == {"model.dropout": 0.9}
    code, tried = api.curl("POST", f"{path}/undo?dry_run=true", None, *wait)
    assert (code, tried["state"]) == (200, "checked"), tried
    assert api.run(steered)["values"] == before["values"]
    code, waiting = api.curl("POST", f"{path}/stop?at=epoch:99999")
    assert code == 202
    own = f"{path}/commands/{waiting['seq']}"
    wait_for("the delivery", lambda: api.curl("GET", own)[1]["state"] == "delivered")
    code, cancel = api.curl("DELETE", own, None, *wait)
    assert (code, cancel["state"]) == (200, "applied"), cancel
    wait_for("the end of the command", lambda: api.curl("GET", own)[1]["state"] == "cancelled")
    code, problem = api.curl("DELETE", own)
    assert (code, problem["type"]) == (409, "/problems/command-not-withdrawable")
    api.wait_for_step(steered, before["step"] + 1)


def test_undo_goes_on_from_before_the_last_change(api: ControlApi) -> None:
    run_id = api.submit(CONFIG)
    api.wait_for_step(run_id, 10)
    changed = api.command(run_id, "change", '{"optimizer.lr": 1.5}')
    api.wait_for_step(run_id, changed["step"] + 20)
    undone = api.command(run_id, "undo")
    child = undone["after"]["run"]
    assert undone["after"]["checkpoint"] == changed["details"]["undo_to"]
    assert api.run(run_id)["status"] == "superseded"
    values = wait_for("the child's values", lambda: api.run(child)["values"])
    assert values["optimizer.lr"] == changed["before"]["optimizer.lr"]
    assert api.run(child)["origin"]["checkpoint"] == changed["details"]["undo_to"]
    api.command(child, "stop")
    api.wait_for_end(child)
    used = learning_rates(api, child)
    assert set(used.values()) == {changed["before"]["optimizer.lr"]}
    assert min(used) == changed["step"] + 1


def test_a_replay_ends_with_the_same_bits(api: ControlApi) -> None:
    """Over the API alone: an edit that waited for its step, one that was undone, and the rest."""
    train = {**CONFIG["train"], "epochs": 40, "checkpoint_every": "300 steps"}
    run_id = api.submit({**CONFIG, "train": train})
    code, waiting = api.curl(
        "PATCH", f"/api/v1/runs/{run_id}/params?at=step:100", '{"optimizer.lr": 0.03}'
    )
    assert code == 202, waiting
    api.wait_for_step(run_id, 110)
    api.command(run_id, "change", '{"model.dropout": 0.5}')
    child = api.command(run_id, "undo")["after"]["run"]
    api.command(child, "change", '{"optimizer.momentum": 0.5}')
    assert api.wait_for_end(child)["status"] == "finished"
    code, replay = api.curl("POST", f"/api/v1/runs/{child}/replay")
    assert (code, replay["replay"]) == (201, child)

    def end_of_the_line() -> Any:
        runs = api.curl("GET", "/api/v1/runs")[1]["runs"]
        ours = [run for run in runs if run["replay"] == child]
        return [run for run in ours if run["status"] in ("finished", "failed", "stopped")]

    [last] = wait_for("the end of the replay", end_of_the_line)
    assert last["status"] == "finished", last["error"]
    assert api.last_hash(last["id"]) == api.last_hash(child)
    _, told = api.curl("GET", f"/api/v1/runs/{last['id']}/commands")
    assert all(command["seq"] <= 0 for command in told["commands"])


def test_a_suspended_run_makes_room_and_comes_back_to_the_same_bits(api: ControlApi) -> None:
    train = {**CONFIG["train"], "epochs": 40, "checkpoint_every": "300 steps"}
    straight = api.submit({**CONFIG, "train": train})
    run_id = api.submit({**CONFIG, "train": train})
    api.wait_for_step(run_id, 20)
    suspended = api.command(run_id, "suspend")
    assert suspended["after"]["status"] == "suspended"
    away = wait_for("a free slot", lambda: (run := api.run(run_id))["slot"] is None and run)
    assert (away["status"], away["step"]) == ("suspended", suspended["step"])
    assert api.trainers(f"MIDCOURSE_RUN_ID={run_id}") == []
    console = (api.home / "runs" / run_id / "console.log").read_text().splitlines()
    assert console[-1] == f"Suspended; go on with: --run-id {run_id}"
    edited = api.curl("PATCH", f"/api/v1/runs/{run_id}/params", '{"model.dropout": 0.2}')
    assert edited[0] == 202, "it is what it is already, and waits until the run is back"
    resumed = api.command(run_id, "resume")
    assert (resumed["step"], resumed["before"]) == (suspended["step"], {"status": "paused"})
    assert api.wait_for_end(run_id)["attempt"] == 2
    api.wait_for_end(straight)
    assert api.last_hash(run_id) == api.last_hash(straight)


def test_revert_goes_on_as_a_child_in_the_same_process(api: ControlApi, steered: str) -> None:
    pid = api.trainer_pid(steered)
    receipt = api.command(steered, "checkpoint")
    name = receipt["after"]["checkpoint"]
    api.wait_for_step(steered, receipt["step"] + 50)
    body = json.dumps({"checkpoint": name, "changes": {"optimizer.lr": 0.02}})
    reverted = api.command(steered, "revert", body)
    child = reverted["after"]["run"]
    assert api.run(steered)["status"] == "superseded"
    assert api.wait_for_step(child, receipt["step"] + 1)["origin"]["run"] == steered
    # A heartbeat may tell of the step before the log tells of the values.
    values = wait_for("the child's values", lambda: api.run(child)["values"])
    assert values["optimizer.lr"] == 0.02
    assert api.trainer_pid(steered) == pid  # its environment still names the parent
    assert api.command(child, "pause")["after"] == {"status": "paused"}
    stopped = api.command(child, "stop")
    assert stopped["after"]["status"] == "stopped"
    assert api.wait_for_end(child)["status"] == "stopped"


def test_a_fork_is_the_parents_continuation_and_a_killed_trainer_comes_back(
    api: ControlApi,
) -> None:
    config = {**CONFIG, "train": {**CONFIG["train"], "epochs": 60, "checkpoint_every": "300 steps"}}
    parent = api.submit(config)
    api.wait_for_step(parent, 20)
    code, child = api.curl("POST", f"/api/v1/runs/{parent}/fork", "{}")
    assert code in (201, 202), child
    code, changed = api.curl(
        "POST", f"/api/v1/runs/{parent}/fork", '{"changes": {"optimizer.momentum": 0.5}}'
    )
    assert code in (201, 202), changed
    api.wait_for_step(child["id"], 100)
    os.kill(api.trainer_pid(child["id"]), signal.SIGKILL)
    runs = {
        name: api.wait_for_end(run)
        for name, run in [("parent", parent), ("child", child["id"]), ("changed", changed["id"])]
    }
    assert {run["status"] for run in runs.values()} == {"finished"}
    assert runs["child"]["attempt"] == 2
    assert api.last_hash(parent) == api.last_hash(child["id"])
    assert api.last_hash(parent) != api.last_hash(changed["id"])
    assert runs["parent"]["metrics"]["test/accuracy"] == runs["child"]["metrics"]["test/accuracy"]


def test_a_configuration_that_cannot_work_is_refused(api: ControlApi) -> None:
    bad = {"model": {"name": "cnnn"}, "optimizer": {"lr": "fast"}, "colour": "red"}
    code, problem = api.curl(
        "POST", "/api/v1/runs", json.dumps({"config": bad}), "own", "-H", "Prefer: wait=60"
    )
    assert code == 422, problem
    paths = {fault["path"] for fault in problem["faults"]}
    assert {"config.model.name", "config.optimizer.lr", "config.colour"} <= paths


def up(home: Path, port: int, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "MIDCOURSE_HOME": str(home),
        "PORT": str(port),
        "EXIT": "1",
        "WANDB_MODE": "offline",
        **variables,
    }
    environment.pop("WANDB_API_KEY", None)
    return subprocess.run(
        [sys.executable, "-m", "control_api.up"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_up_trains_the_default_and_ends_with_it(tmp_path: Path) -> None:
    port = free_port()
    done = up(tmp_path, port)
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = float(done.stdout.split("test accuracy")[1].split()[0])
    assert accuracy >= 0.97
    for word in (
        "/pause",
        "/resume",
        "/params",
        "/fork",
        "Bearer mc_",
        "worst class",
        f"midcourse sync --home={tmp_path} r",
        "midcourse watch r",
        f"export MIDCOURSE_HOME={tmp_path}",
    ):
        assert word in done.stdout
    assert done.stderr == ""
    assert (tmp_path / "url").read_text() == f"http://127.0.0.1:{port}\n", "`midcourse` reads it"


def test_up_fails_with_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = up(tmp_path / "a", taken.getsockname()[1])
    blocked = tmp_path / "file"
    blocked.touch()
    unwritable = up(blocked, free_port())
    missing = up(tmp_path / "b", free_port(), CONFIG="nowhere.json")
    for done, told in [
        (busy, "in use"),
        (unwritable, "cannot be written"),
        (missing, "nowhere.json"),
    ]:
        assert done.returncode == 1
        assert told in done.stdout
        assert len(done.stdout.strip().splitlines()) == 1
        assert "Traceback" not in done.stdout + done.stderr


def test_up_fails_if_the_run_fails(tmp_path: Path) -> None:
    params = tmp_path / "params.json"
    params.write_text(json.dumps({"data": {"name": "folder", "path": str(tmp_path / "none")}}))
    done = up(tmp_path / "home", free_port(), CONFIG=str(params))
    assert done.returncode == 1
    assert "none" in done.stdout
