"""Trainers as containers of a real engine: started, branched, disturbed, killed, refused."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from containers import OnThisMachine, wait_for
from docker_engine import IMAGE, Engine

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.timeout(1100)]

CONFIG = {
    "experiment": "boxed",
    "seed": 5,
    "data": {"name": "digits", "batch_size": 128},
    "model": {"name": "mlp", "width": 32, "dropout": 0.2},
    "optimizer": {"name": "adamw", "lr": 0.002},
    "train": {
        "epochs": 100,
        "eval_every": "20 epochs",
        "checkpoint_every": "100 steps",
        "device": "cpu",
    },
}
OWN = """
import json, sys
import torch
import midcourse

config = json.load(open(sys.argv[1]))
with midcourse.start("own", config=config) as run:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"])
    run.track(model=model, optimizer=optimizer)
    run.begin()
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        run.log({"seen": config["lr"]})
        run.step()
"""
GREEDY = "held = []\nwhile True: held.append(bytearray(2**20))"

Start = Callable[..., OnThisMachine]


@pytest.fixture
def api(engine: Engine, tmp_path: Path) -> Iterator[Start]:
    """A control API of this machine, which goes with the test, and its trainers too."""
    made: list[OnThisMachine] = []

    def start(**environment: str) -> OnThisMachine:
        made.append(OnThisMachine(engine, tmp_path / "home", environment).start())
        return made[-1]

    yield start
    for each in made:
        each.die()
    if trainers := engine.run("ps", "--all", "--quiet", "--filter=label=midcourse.run").split():
        engine.run("rm", "--force", "--volumes", *trainers)


@pytest.fixture(scope="module")
def undisturbed(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The state hash at the end of a run that nobody disturbs."""
    served = OnThisMachine(engine, tmp_path_factory.mktemp("undisturbed") / "home", {}).start()
    try:
        run = served.train(CONFIG)
        assert run["status"] == "finished", run["error"]
        yield served.last_hash(run["id"])
    finally:
        served.die()


def submit(served: OnThisMachine, **more: Any) -> str:
    return str(served.curl("POST", "/runs", {"config": CONFIG, **more})["id"])


def paused(served: OnThisMachine) -> str:
    """A run in its middle that waits for a person."""
    run = submit(served)
    served.wait_for_step(run, 1)
    receipt = served.curl("POST", f"/runs/{run}/pause", None, "-H", "Prefer: wait=30")
    assert receipt["state"] == "applied", receipt
    return run


def resume(served: OnThisMachine, run: str) -> dict[str, Any]:
    served.curl("POST", f"/runs/{run}/resume")
    ended = served.wait_for_status(run, "finished", "failed")
    assert ended["status"] == "finished", ended["error"]
    return ended


# -- started ----------------------------------------------------------------------------------


def test_a_run_is_a_container_that_shows_no_secret_and_goes_when_it_ends(
    api: Start, engine: Engine, tmp_path: Path
) -> None:
    key = token_hex(20)
    served = api(WANDB_API_KEY=key, HF_TOKEN="hf_other", MIDCOURSE_TRAINER_MEMORY="3g")
    run = paused(served)
    container = served.container(run)
    assert container is not None
    found = engine.inspect(container)
    assert found["Config"]["Labels"]["midcourse.run"] == run
    assert found["Config"]["Labels"]["midcourse.experiment"] == "boxed"
    assert found["HostConfig"]["Memory"] == 3 * 2**30

    [pid] = pids_of_python(engine, container)
    told = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    [token] = [word.partition("=")[2] for word in told if word.startswith("MIDCOURSE_RUN_TOKEN=")]
    assert f"WANDB_API_KEY={key}" in told
    assert not [word for word in told if word.startswith(("HF_TOKEN", "DOCKER_HOST"))]
    seen = {
        "inspect": json.dumps(found),
        "top": engine.run("top", container, "-eo", "pid,args"),
        "logs": engine.try_("logs", container).stderr + engine.run("logs", container),
        "log of the API": served.log.read_text(),
        "run as the API shows it": json.dumps(served.curl("GET", f"/runs/{run}")),
    }
    kept = [path for path in (tmp_path / "home/runs").rglob("*") if path.is_file()]
    seen |= {str(path): path.read_bytes().decode(errors="replace") for path in kept}
    assert len(kept) > 5
    for secret in (key, token, served.token()):
        assert [where for where, text in seen.items() if secret in text] == []

    mounts = {each["Destination"] for each in found["Mounts"]}
    assert mounts == {"/data/runs", "/data/data"}, "the admin's token is not among them"
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    assert {status[f"Cap{which}"].strip("0") for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {
        ""
    }
    assert status["NoNewPrivs"].strip() == "1"
    assert engine.try_("exec", container, "touch", "/opt/x").returncode != 0

    ended = resume(served, run)
    assert ended["attempt"] == 1
    wait_for(lambda: served.container(run) is None, "its container is gone")
    console = (tmp_path / "home/runs" / run / "console.log").read_text()
    assert console.startswith("--- attempt 1, ")


def pids_of_python(engine: Engine, container: str) -> list[int]:
    """On this machine, those of the program that the container was made for."""
    top = engine.run("top", container, "-eo", "pid,ppid,args").splitlines()[1:]
    words = [line.split(None, 2) for line in top]
    return [int(pid) for pid, _, args in words if " -m trainer " in args and "init" not in args]


def test_a_fork_is_another_container_while_the_parent_trains_on(api: Start, engine: Engine) -> None:
    """A fork without a change equals what the parent becomes, hash for hash."""
    served = api()
    parent = paused(served)
    child = served.curl("POST", f"/runs/{parent}/fork", {})["id"]
    changed = served.curl("POST", f"/runs/{parent}/fork", {"changes": {"optimizer.lr": 0.02}})["id"]
    wait_for(lambda: served.container(child), "the fork has a container")
    assert engine.inspect(served.container(parent) or "")["State"]["Running"]
    resume(served, parent)
    for each in (child, changed):
        ended = served.wait_for_status(each, "finished", "failed")
        assert ended["status"] == "finished", ended["error"]
    assert served.last_hash(child) == served.last_hash(parent)
    assert served.last_hash(changed) != served.last_hash(parent)


# -- disturbed: the end is always the same ----------------------------------------------------


def suspended(served: OnThisMachine, run: str) -> int:
    served.curl("POST", f"/runs/{run}/suspend")
    served.wait_for_status(run, "suspended")
    wait_for(lambda: served.container(run) is None, "its container is gone")
    assert served.curl("GET", f"/runs/{run}")["slot"] is None
    return 2


def killed(served: OnThisMachine, run: str) -> int:
    served.engine.run("kill", served.container(run) or "")
    wait_for(lambda: served.container(run, 2), "another attempt has a container")
    served.wait_for_status(run, "running", "paused")
    return 2


def without_api(served: OnThisMachine, run: str) -> int:
    served.die()
    assert served.engine.inspect(served.container(run) or "")["State"]["Running"]
    served.start()
    return 1


def without_engine(served: OnThisMachine, run: str) -> int:
    """It trains on, and is steered, while nobody could start or stop a container."""
    container = served.container(run) or ""
    [pid] = pids_of_python(served.engine, container)
    served.engine.crash()
    try:
        wait_for(lambda: "the Docker engine does not answer" in served.log.read_text(), "it shows")
        set_to = {"optimizer.lr": 0.002}  # what it is: a change that changes nothing
        receipt = served.curl("PATCH", f"/runs/{run}/params", set_to, "-H", "Prefer: wait=30")
        assert receipt["state"] == "applied", receipt
        os.kill(pid, 0)
        assert served.curl("GET", f"/runs/{run}")["status"] == "paused"
    finally:
        served.engine.start()
    wait_for(
        lambda: "the docker launcher can start trainers again" in served.log.read_text(),
        "it is back",
    )
    assert served.engine.inspect(container)["State"]["Running"]
    return 1


@pytest.mark.parametrize("disturb", [suspended, killed, without_api, without_engine])
def test_whatever_happens_to_it_a_run_ends_at_the_same_bits(
    api: Start, undisturbed: str, disturb: Callable[[OnThisMachine, str], int]
) -> None:
    served = api()
    run = paused(served)
    attempts = disturb(served, run)
    ended = resume(served, run)
    assert ended["attempt"] == attempts
    assert served.last_hash(run) == undisturbed
    wait_for(lambda: served.container(run, attempts) is None, "its container is gone")


def test_what_ended_while_nobody_looked_is_noted_with_its_exit_code(api: Start) -> None:
    served = api()
    run = submit(
        served, command=["sh", "-c", "until [ -e /data/runs/go ]; do sleep 0.1; done; exit 9"]
    )
    wait_for(lambda: served.container(run), "it has a container")
    container = served.container(run) or ""
    wait_for(lambda: served.engine.inspect(container)["State"]["Running"], "it runs")
    served.die()
    (served.home / "runs/go").touch()
    wait_for(lambda: not served.engine.inspect(container)["State"]["Running"], "it has ended")
    served.start()
    failed = served.wait_for_status(run, "failed")
    assert "the last time with exit code 9" in failed["error"]


# -- refused, and failed ----------------------------------------------------------------------


def test_ends_and_refusals_are_told_in_words(api: Start, engine: Engine) -> None:
    served = api(
        MIDCOURSE_TRAINER_MEMORY="300m", MIDCOURSE_SLOTS="cpu:4", MIDCOURSE_ALLOWED_IMAGES="lab/*"
    )
    runs = {
        "greedy": submit(served, command=["python", "-c", GREEDY]),
        "exits": submit(served, command=["sh", "-c", "echo the disk is on fire >&2; exit 7"]),
        "unknown": submit(served, command=["no-such-program"]),
        "absent": submit(served, image="lab/none:1"),
    }
    errors = {name: served.wait_for_status(run, "failed")["error"] for name, run in runs.items()}
    assert "by SIGKILL, as it ran out of memory: 300 MiB are its limit" in errors["greedy"]
    assert "with exit code 7. It printed:\nthe disk is on fire" in errors["exits"]
    assert "with exit code 127" in errors["unknown"]
    assert "no-such-program" in errors["unknown"]
    assert "no image lab/none:1" in errors["absent"]
    assert "docker pull lab/none:1" in errors["absent"]
    refused = served.curl("POST", "/runs", {"config": {}, "image": "elsewhere/x"})
    assert refused["status"] == 422
    wait_for(lambda: not engine.run("ps", "-aq", "--filter=label=midcourse.run"), "all are gone")


def test_a_gpu_slot_asks_the_engine_for_a_gpu(api: Start) -> None:
    """Which has none here, and says so."""
    served = api(MIDCOURSE_SLOTS="gpu:1")
    failed = served.wait_for_status(submit(served), "failed")
    assert "could not select device driver" in failed["error"]


def test_a_folder_that_cannot_be_written_is_told_as_what_it_is(api: Start) -> None:
    served = api(MIDCOURSE_TRAINER_USER="12345:12345")
    error = served.wait_for_status(submit(served), "failed")["error"]
    assert "with exit code 124, as it cannot write its run's folder" in error


def test_a_run_brings_its_own_image_and_program(api: Start, engine: Engine, tmp_path: Path) -> None:
    context = tmp_path / "own"
    context.mkdir()
    (context / "own.py").write_text(OWN)
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nENTRYPOINT []\nCOPY own.py /opt/own.py\n")
    engine.run("build", "--tag=lab/own:1", str(context))
    served = api(MIDCOURSE_ALLOWED_IMAGES="lab/*")
    command = ["python", "/opt/own.py", "{params}"]
    body = {"config": {"lr": 0.25}, "image": "lab/own:1", "command": command}
    run = served.curl("POST", "/runs", body)["id"]
    ended = served.wait_for_status(run, "finished", "failed")
    assert ended["status"] == "finished", ended["error"]
    assert ended["metrics"] == {"seen": 0.25}
