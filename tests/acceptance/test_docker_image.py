"""The image, in a real engine: one `docker run` trains, is steered from outside, and goes on."""

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from secrets import token_hex
from typing import IO

import pytest
from containers import wait_for
from docker_engine import BASE, IMAGE, ROOT, Engine

from midcourse.version import __version__

# The first of them makes the image, unless that is there.
pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.timeout(1100)]

CONFIG = {
    "experiment": "boxed",
    "seed": 3,
    "data": {"name": "digits", "batch_size": 128},
    "model": {"name": "mlp", "width": 32, "dropout": 0.2},
    "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9},
    "train": {
        "epochs": 400,
        "eval_every": "10 epochs",
        "checkpoint_every": "100 steps",
        "device": "cpu",
    },
}
OWN = """
import os
import torch
import midcourse

with midcourse.start("own", seed=1) as run:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.track(model=model, optimizer=optimizer)
    run.begin()
    for _ in range(4):
        loss = model(torch.ones(1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.step()
    print(run.id, "ended at step", run.current_step - 1, "in", os.environ["MIDCOURSE_HOME"])
"""
HANG = """
for folder in /proc/[0-9]*; do
    ! grep -qs '[c]ontrol_api' $folder/cmdline || kill -STOP ${folder##*/}
done
"""
HARDENED = (
    *("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--pids-limit=300", "--memory=3g", "--shm-size=1g"),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "params.json"
    path.write_text(json.dumps(CONFIG))
    tmp_path.chmod(0o755)
    return path


def mounted(config: Path) -> tuple[str, ...]:
    return (f"--volume={config}:/work/params.json:ro", "--env=CONFIG=/work/params.json")


def test_one_command_trains_and_is_steered_with_the_lines_that_it_prints(
    serve, config: Path, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    example = (ROOT / "docker/env.example").read_text()
    env_file.write_text(example.replace("#MIDCOURSE_SLOTS=auto", "MIDCOURSE_SLOTS=cpu:2"))
    box = serve(options=(f"--env-file={env_file}", *mounted(config)))
    wait_for(lambda: "# look" in box.log, "it has printed curl lines")
    run = box.training()
    box.wait_for_step(run["id"], 1)
    lines = dict(re.findall(r"# (\w+)\n +(curl .*)", box.log))
    assert list(lines) == ["pause", "resume", "change", "fork", "look"]
    inside = "http://127.0.0.1:8080"
    said = {}
    for name in ("pause", "change", "fork", "resume", "look"):
        box.wait_for_status(run["id"], "running", "paused")
        line = lines[name].replace(inside, box.url)
        done = subprocess.run(
            ["sh", "-c", line],
            env={**os.environ, "DOCKER_HOST": box.engine.host},
            capture_output=True,
            text=True,
            check=True,
        )
        said[name] = json.loads(done.stdout)
    assert said["change"]["receipt"]["after"] == {"optimizer.lr": 0.01}
    assert said["look"]["values"]["optimizer.lr"] == 0.01
    box.wait_for_status(run["id"], "finished")
    box.wait_for_status(said["fork"]["id"], "finished")
    wait_for(lambda: "The control API goes on serving" in box.log, "it has summed up")
    assert box.token() not in box.log
    assert "no WANDB_API_KEY, so runs log to W&B offline" in box.log
    name = box.engine.inspect(box.name)["Id"][:12]
    sync = f"docker exec -it -e WANDB_API_KEY {name} midcourse sync {run['id']}"
    assert f"W&B: offline; send it with: {sync}" in box.log
    assert f"docker exec -it {name} midcourse watch" in box.log


def test_stopped_started_and_killed_it_ends_with_the_bits_of_one_that_was_not(
    serve, config: Path
) -> None:
    calm, tossed = serve(options=mounted(config)), serve(options=mounted(config))
    run = tossed.training()
    tossed.wait_for_step(run["id"], 150)
    tossed.engine.run("stop", tossed.name)
    assert tossed.engine.inspect(tossed.name)["State"]["ExitCode"] == 0, "within Docker's 10 s"
    tossed.start_again()
    wait_for(lambda: f"run {run['id']} goes on" in tossed.log, "it goes on")
    log = f"/data/runs/{run['id']}/runlog.jsonl"
    asked = tossed.engine.run("exec", tossed.name, "grep", "-c", '"status":"interrupted"', log)
    assert asked == "1", "it ended in order, with a checkpoint"
    tossed.wait_for_step(run["id"], 500)
    tossed.engine.run("kill", tossed.name)
    tossed.start_again()
    undisturbed = calm.training()
    calm.wait_for_status(undisturbed["id"], "finished")
    ended = tossed.wait_for_status(run["id"], "finished")
    assert ended["attempt"] == 3
    assert tossed.last_hash(run["id"]) == calm.last_hash(undisturbed["id"])
    assert len(tossed.runs()) == 1, "no second training was begun"


def test_it_runs_read_only_without_capabilities_as_anybody(engine: Engine, serve) -> None:
    program = """
import os, pathlib, midcourse
status = pathlib.Path("/proc/self/status").read_text()
for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Uid"):
    print(next(line for line in status.splitlines() if line.startswith(name)).split()[:2])
for place in ("/opt/midcourse/x", "/etc/x", "/work/x"):
    try:
        open(place, "w")
    except OSError as error:
        print(place, error.strerror)
open("/data/x", "w")
print(sorted(name for name in os.environ if "WANDB" in name))
"""
    done = engine.run(
        "run", "--rm", *HARDENED, "--user=54321:54321", IMAGE, "python", "-c", program
    )
    assert done.splitlines() == [
        *("['CapEff:', '0000000000000000']", "['CapPrm:', '0000000000000000']"),
        *("['CapBnd:', '0000000000000000']", "['NoNewPrivs:', '1']", "['Uid:', '54321']"),
        "/opt/midcourse/x Read-only file system",
        "/etc/x Read-only file system",
        "/work/x Read-only file system",
        "[]",
    ]
    box = serve("api", options=(*HARDENED, "--user=54321:54321"))
    run = box.train({**CONFIG, "train": {**CONFIG["train"], "epochs": 3}})
    assert run["status"] == "finished", run["error"]
    look = ("find", "/", "-xdev", "-perm", "-o+w", "-type", "f")
    writable = engine.run("run", "--rm", "--user=0", IMAGE, *look)
    assert writable == ""


def test_its_health_is_the_control_apis(engine: Engine, serve) -> None:
    alone = engine.run("run", "--rm", IMAGE, "/opt/midcourse/docker/healthcheck.sh")
    assert alone == "", "what serves nothing is healthy"
    quick = ("--health-interval=1s", "--health-timeout=3s", "--health-retries=1")
    box = serve("api", options=quick)

    def health() -> str:
        return str(engine.inspect(box.name)["State"]["Health"]["Status"])

    wait_for(lambda: health() == "healthy", "it is healthy")
    engine.run("exec", box.name, "sh", "-c", HANG)
    wait_for(lambda: health() == "unhealthy", "that it hangs is noticed")


def test_it_says_which_code_it_holds(engine: Engine) -> None:
    told = engine.run("run", "--rm", IMAGE, "sh", "-c", "midcourse doctor --json || true")
    [source] = [each for each in json.loads(told)["checks"] if each["name"] == "Midcourse"]
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    assert source["found"] == f"{__version__}, commit {commit} (/opt/midcourse)"
    labels = engine.inspect(IMAGE)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_its_last_stage_has_no_compiler_and_its_user_is_nobody_special(engine: Engine) -> None:
    programs = "for each in gcc cc g++ make ld; do command -v $each; done; id -u; id -g"
    assert engine.run("run", "--rm", IMAGE, "sh", "-c", programs).split() == ["1000", "1000"]


def test_no_planted_secret_is_in_a_layer(engine: Engine, tmp_path: Path) -> None:
    secret = token_hex(24)
    context = tmp_path / "context"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", str(context)], check=True)
    for name in (".env", "docker/.env", ".midcourse/token", "trainer/.env", "my.key"):
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text(f"WANDB_API_KEY={secret}\n")
    base = f"--build-arg=BASE_IMAGE={BASE}"
    engine.run("build", "--network=host", base, "--target=code", "--tag=planted", str(context))
    engine.run("save", "--output", str(tmp_path / "image.tar"), "planted")
    with tarfile.open(tmp_path / "image.tar") as image:
        layers = [member for member in image if member.name.endswith("layer.tar")]
        found = [name for each in layers for name in names_with(secret, image.extractfile(each))]
    assert layers
    assert found == []
    history = engine.run("history", "--no-trunc", IMAGE) + json.dumps(engine.inspect(IMAGE))
    assert "PIP_" not in history, "a mirror's password stays in the stage that used it"


def names_with(secret: str, layer: IO[bytes] | None) -> list[str]:
    found = []
    with tarfile.open(fileobj=layer) as files:
        for member in files:
            file = files.extractfile(member) if member.isfile() else None
            if file is not None and secret.encode() in file.read():
                found.append(member.name)
    return found


def test_a_key_from_a_secret_file_is_seen_nowhere(engine: Engine, serve, tmp_path: Path) -> None:
    secret = token_hex(24)
    (tmp_path / "key").write_text(f"{secret}\n")
    (tmp_path / "key").chmod(0o444)
    tmp_path.chmod(0o755)
    box = serve(
        *("api",),
        options=(f"--volume={tmp_path / 'key'}:/run/secrets/wandb:ro",),
        WANDB_API_KEY_FILE="/run/secrets/wandb",
        WANDB_BASE_URL="http://127.0.0.1:9",
    )
    run = box.train({**CONFIG, "train": {**CONFIG["train"], "epochs": 3}})
    assert run["tracking"]["mode"] == "online", "it has the key, though no server answers"
    seen = json.dumps(engine.inspect(box.name)) + engine.run("top", box.name, "-eo", "pid,args")
    seen += box.log + engine.run("exec", box.name, "grep", "-rc", "", "/data")
    assert "control_api" in seen
    assert secret not in seen
    found = engine.try_("exec", box.name, "grep", "-rl", secret, "/data", "/tmp", "/opt/midcourse")
    assert (found.returncode, found.stdout) == (1, ""), "grep looked, and found nothing"


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("--env=WANDB_API_KEY=short",), 2, "too short"),
        (("--env=WANDB_API_KEY_FILE=/run/secrets/none",), 2, "cannot be read"),
        (("--env=CONFIG=/work/none.json",), 1, "/work/none.json"),
        (("--env=PORT=many",), 1, "PORT"),
        (("--volume=/proc/sys:/data",), 1, "/data"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    engine: Engine, given: tuple[str, ...], code: int, told: str
) -> None:
    done = engine.try_("run", "--rm", *given, IMAGE)
    said = done.stdout + done.stderr
    assert (done.returncode, told in said, "Traceback" in said) == (code, True, False), said


def test_any_program_runs_in_it_with_its_exit_code(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "my_own.py").write_text(OWN)
    (tmp_path / "params.json").write_text(json.dumps({**CONFIG, "optimiser": {}}))
    tmp_path.chmod(0o755)
    here = f"--volume={tmp_path}:/work:ro"
    told = engine.run("run", "--rm", here, IMAGE, "python", "my_own.py")
    assert re.fullmatch(r"r\w+ ended at step 3 in /data", told.splitlines()[-1])
    wrong = engine.try_("run", "--rm", here, IMAGE, "python", "-m", "trainer", "params.json")
    assert wrong.returncode == 2
    assert "optimiser" in wrong.stderr + wrong.stdout
    assert engine.try_("run", "--rm", IMAGE, "sh", "-c", "exit 9").returncode == 9
    assert engine.try_("run", "--rm", IMAGE, "no-such-program").returncode == 127
