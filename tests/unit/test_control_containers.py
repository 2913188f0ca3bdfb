"""Trainers as containers: what is said by settings, and what is sent to the Docker engine."""

import dataclasses
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from control_api.container_settings import ContainerSettings
from control_api.launchers.base import LauncherUnreachable, LaunchFailed, LaunchStatus, RunSpec
from control_api.launchers.containers import DockerLauncher, container_config, status_of
from control_api.launchers.docker_engine import Engine, EngineRefused
from control_api.settings import Settings
from midcourse.contract.errors import InvalidInput

ON_HOST = {"MIDCOURSE_LAUNCHER": "docker", "MIDCOURSE_HOST": "172.17.0.1"}
INSIDE = {
    "MIDCOURSE_LAUNCHER": "docker",
    "MIDCOURSE_IN_CONTAINER": "yes",
    "MIDCOURSE_HOST": "0.0.0.0",
    "MIDCOURSE_TRAINER_MOUNTS": "m_runs:/data/runs, /srv/pictures:/datasets:ro",
    "MIDCOURSE_TRAINER_API_URL": "http://api:8080/",
}
USUAL = ContainerSettings(
    image="midcourse", mounts=("runs:/data/runs",), api_url="http://api:8080", user="1000:1000"
)


@pytest.fixture
def spec(tmp_path):
    return RunSpec(
        run_id="r1",
        experiment="digits",
        attempt=2,
        slot="cpu:0",
        argv=("python", "-m", "trainer", "/data/runs/r1/params.json"),
        environment={
            "MIDCOURSE_RUN_TOKEN": "mc_hush",
            "WANDB_API_KEY": "wb_hush",
            "A": "b=c d",
        },
        folder=tmp_path,
        console=tmp_path / "runs/r1/console.log",
    )


# -- settings ---------------------------------------------------------------------------------


def test_trainers_are_processes_unless_told_otherwise():
    assert Settings.read({}).containers is None
    assert Settings.read({"MIDCOURSE_LAUNCHER": "process"}).containers is None


def test_on_the_machine_itself_trainers_get_the_folder_of_runs_and_nothing_else_of_the_home():
    settings = Settings.read({**ON_HOST, "MIDCOURSE_HOME": "/home/ada/mc", "PORT": "9000"})
    containers = settings.containers
    assert containers.mounts == ("/home/ada/mc/runs:/data/runs", "/home/ada/mc/data:/data/data")
    assert containers.api_url == "http://host.docker.internal:9000"
    assert containers.user == f"{os.getuid()}:{os.getgid()}"
    assert "host.docker.internal" in settings.allowed_hosts
    assert settings.trainer_command == ("python", "-m", "trainer")


def test_in_a_container_it_is_told_what_it_cannot_know():
    settings = Settings.read({**INSIDE, "MIDCOURSE_TRAINERS_STAY": "no"})
    assert settings.containers.mounts == ("m_runs:/data/runs", "/srv/pictures:/datasets:ro")
    assert settings.containers.api_url == "http://api:8080"
    assert settings.allowed_hosts == {"api"}
    assert settings.trainers_stay, "they do not end with its container"


def test_only_what_is_named_is_passed_on():
    environ = {
        **ON_HOST,
        "WANDB_API_KEY": "k",
        "WANDB_ENTITY": "lab",
        "HF_TOKEN": "h",
        "HOME": "/root",
        "MIDCOURSE_TRAINER_CPUS": "2",
        "DOCKER_HOST": "unix:///run/x.sock",
        "WANDB_no.shell": "x",
    }
    assert set(Settings.read(environ).trainer_environment) == {"WANDB_API_KEY", "WANDB_ENTITY"}
    named = Settings.read({**environ, "MIDCOURSE_TRAINER_VARIABLES": "WANDB_API_KEY, HF_*"})
    assert set(named.trainer_environment) == {"WANDB_API_KEY", "HF_TOKEN"}


def test_a_key_in_a_file_is_read_as_no_container_has_the_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("k" * 40 + "\n")
    environ = {**ON_HOST, "WANDB_API_KEY_FILE": str(file)}
    assert Settings.read(environ).trainer_environment == {"WANDB_API_KEY": "k" * 40}
    first = Settings.read({**environ, "WANDB_API_KEY": "f" * 40})
    assert first.trainer_environment == {"WANDB_API_KEY": "f" * 40}
    with pytest.raises(InvalidInput, match="WANDB_API_KEY_FILE: names /none, which cannot be rea"):
        Settings.read({**ON_HOST, "WANDB_API_KEY_FILE": "/none"})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MIDCOURSE_LAUNCHER": "podman"}, "MIDCOURSE_LAUNCHER: must be process or docker"),
        ({"MIDCOURSE_LAUNCHER": "docker"}, "MIDCOURSE_HOST: trainers' containers cannot reach"),
        ({**INSIDE, "MIDCOURSE_TRAINER_MOUNTS": ""}, "MOUNTS: must say which volumes"),
        ({**INSIDE, "MIDCOURSE_TRAINER_MOUNTS": "runs"}, "'runs' is no mount; those are source:/t"),
        ({**INSIDE, "MIDCOURSE_TRAINER_MOUNTS": "r:/data/runs:ro"}, "must have /data/runs, writab"),
        ({**INSIDE, "MIDCOURSE_TRAINER_API_URL": ""}, "API_URL: must say where trainers find"),
        ({**INSIDE, "MIDCOURSE_TRAINER_API_URL": "api:8080"}, "must be such as http://api:8080"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_NETWORK": "host"}, "NETWORK: must not be host"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_USER": "ada"}, "must be numbers, such as 1000:1000"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_CPUS": "0"}, "CPUS: must be a number such as 4 or 1.5"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_MEMORY": "lots"}, "must be a size such as 512m or 16g"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_MEMORY": "1m"}, "must be a size such as 512m or 16g"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_SHM_SIZE": "1t"}, "SHM_SIZE: must be a size"),
        ({**ON_HOST, "MIDCOURSE_TRAINER_PIDS": "1"}, "PIDS: must be a number from 10, not '1'"),
    ],
)
def test_what_is_malformed_fails_by_name(environ, message):
    with pytest.raises(InvalidInput) as caught:
        Settings.read(environ)
    assert message in str(caught.value)


def test_images_are_allowed_by_pattern():
    settings = dataclasses.replace(USUAL, allowed_images=("ghcr.io/lab/*", "torch:2.?"))
    assert settings.allows("midcourse")
    assert settings.allows("ghcr.io/lab/model:2")
    assert settings.allows("torch:2.9")
    assert not settings.allows("ghcr.io/other/model")
    assert not settings.allows("torch:2.10")
    assert not USUAL.allows("midcourse:other")


# -- what is sent to the engine ---------------------------------------------------------------


def test_a_container_is_hardened_and_known_by_its_labels(spec):
    config = container_config(USUAL, spec, ["/entry.sh"])
    host = config["HostConfig"]
    assert config["Image"] == "midcourse"
    assert config["User"] == "1000:1000"
    assert config["Labels"] == {
        "midcourse.run": "r1",
        "midcourse.experiment": "digits",
        "midcourse.attempt": "2",
    }
    assert config["Entrypoint"][:2] == ["/bin/sh", "-c"]
    assert config["Entrypoint"][3:] == ["midcourse", "/data/runs/r1/console.log", "/entry.sh"]
    assert config["Cmd"] == list(spec.argv)
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["Binds"] == ["runs:/data/runs"]
    assert host["NetworkMode"] == "bridge"
    assert host["ExtraHosts"] == ["host.docker.internal:host-gateway"]
    assert (host["PidsLimit"], host["ShmSize"]) == (2048, 2**30)
    assert not {"Memory", "NanoCpus", "DeviceRequests", "Privileged", "PidMode"} & set(host)


def test_no_secret_is_in_what_the_engine_keeps(spec):
    assert "hush" not in repr(container_config(USUAL, spec, []))
    assert "hush" not in repr(spec)


def test_limits_are_in_the_units_of_the_engine(spec):
    limited = dataclasses.replace(USUAL, cpus=1.5, memory=2**29, shared_memory=2**26, pids=99)
    host = container_config(limited, spec, [])["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 2**29, 2**29)
    assert (host["ShmSize"], host["PidsLimit"]) == (2**26, 99)


@pytest.mark.parametrize("index", ["0", "3", "11"])
def test_a_gpu_slot_asks_for_that_gpu_alone(spec, index):
    config = container_config(USUAL, dataclasses.replace(spec, slot=f"gpu:{index}"), [])
    assert config["HostConfig"]["DeviceRequests"] == [
        {"Driver": "", "DeviceIDs": [index], "Capabilities": [["gpu"]]}
    ]
    assert not [each for each in config["Env"] if each.startswith("NVIDIA")]


def test_a_cpu_slot_sees_no_gpu_whatever_the_engine_does_by_default(spec):
    config = container_config(USUAL, spec, [])
    assert "DeviceRequests" not in config["HostConfig"]
    assert "NVIDIA_VISIBLE_DEVICES=void" in config["Env"]


# -- the launcher, with an engine that answers as the test says --------------------------------


class TheEngine:
    """Keeps what it was asked for."""

    status = "running"
    lacks = ()

    def __init__(self, **refusals):
        self.refusals, self.created, self.heard, self.removed = refusals, [], [], []

    def entrypoint(self, image):
        self.raise_if("entrypoint")
        return []

    def create(self, name, config):
        self.raise_if("create")
        self.created.append(name)
        return f"id of {name}"

    def start(self, container, words):
        self.raise_if("start")
        self.heard.append(words)

    def inspect(self, container):
        state = {"Status": self.status}
        return {"Id": f"id of {container}", "State": state} if container in self.created else None

    def has_image(self, image):
        return image not in self.lacks

    def has_network(self, network):
        return network not in self.lacks

    def remove(self, container):
        self.removed.append(container)

    def raise_if(self, what):
        if what in self.refusals:
            raise self.refusals[what]


def test_a_container_is_told_everything_when_it_starts(spec):
    engine = TheEngine()
    assert DockerLauncher(USUAL, engine).submit(spec) == {"container": "id of midcourse-r1-2"}
    assert engine.heard == [b"MIDCOURSE_RUN_TOKEN=mc_hush\nWANDB_API_KEY=wb_hush\nA=b=c d\n\n"]
    assert spec.console.read_text().startswith("--- attempt 2, ")


def test_an_attempt_that_is_there_is_not_started_again(spec):
    engine = TheEngine(create=EngineRefused("Conflict. The name is in use", 409))
    engine.created.append("midcourse-r1-2")
    assert DockerLauncher(USUAL, engine).submit(spec) == {"container": "id of midcourse-r1-2"}
    assert engine.heard == []


@pytest.mark.parametrize(
    ("engine", "message", "may_pass"),
    [
        (
            TheEngine(entrypoint=EngineRefused("No such image: midcourse:latest", 404)),
            "the Docker engine has no image midcourse, and trainers' images are not pulled by "
            "themselves: docker pull midcourse",
            False,
        ),
        (
            TheEngine(start=EngineRefused("could not select device driver", 500)),
            "the Docker engine refused to start it: could not select device driver",
            True,
        ),
        (
            TheEngine(create=EngineRefused("mkdir /x: no space left on device", 500)),
            "the Docker engine refused to start it: mkdir /x: no space left on device",
            True,
        ),
    ],
)
def test_what_the_engine_refuses_is_told(spec, engine, message, may_pass):
    with pytest.raises(LaunchFailed) as caught:
        DockerLauncher(USUAL, engine).submit(spec)
    assert (str(caught.value), caught.value.may_pass) == (message, may_pass)
    assert engine.removed == [f"id of {name}" for name in engine.created]


def test_a_container_that_was_made_and_not_started_is_no_trainer_yet():
    """Another reconciler may be about to start it."""
    engine = TheEngine()
    engine.created.append("midcourse-r1-2")
    launcher = DockerLauncher(USUAL, engine)
    assert launcher.find("r1", 2) == {"container": "id of midcourse-r1-2"}
    engine.status = "created"
    assert launcher.find("r1", 2) is None


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("midcourse", "the Docker engine has no image midcourse (MIDCOURSE_TRAINER_IMAGE)"),
        ("bridge", "the Docker engine has no network bridge (MIDCOURSE_TRAINER_NETWORK)"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_a_run(lacks, message):
    engine = TheEngine()
    launcher = DockerLauncher(USUAL, engine)
    assert launcher.lacks() is None
    engine.lacks = (lacks,)
    assert launcher.lacks() == message


def test_an_image_that_is_not_allowed_any_more_is_not_started(spec):
    with pytest.raises(LaunchFailed, match="evil:1 is not among MIDCOURSE_ALLOWED_IMAGES"):
        DockerLauncher(USUAL, TheEngine()).submit(dataclasses.replace(spec, image="evil:1"))


def test_a_variable_of_several_lines_is_refused_by_name_and_not_shown(spec):
    several = dataclasses.replace(spec, environment={"WANDB_NOTES": "one\ntwo"})
    with pytest.raises(LaunchFailed, match="the variable WANDB_NOTES has several lines"):
        DockerLauncher(USUAL, TheEngine()).submit(several)


# -- how it ended -----------------------------------------------------------------------------


def ended(code, *, error="", oom=False, limit=0):
    return {
        "State": {
            "Running": False,
            "ExitCode": code,
            "Error": error,
            "OOMKilled": oom,
        },
        "HostConfig": {"Memory": limit},
    }


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (ended(0), LaunchStatus(running=False, exit_code=0)),
        (ended(2), LaunchStatus(running=False, exit_code=2)),
        (ended(143), LaunchStatus(running=False, exit_code=143)),
        (ended(137), LaunchStatus(running=False, exit_code=-9)),
        (ended(139), LaunchStatus(running=False, exit_code=-11)),
        (ended(255), LaunchStatus(running=False, exit_code=255)),
        (
            ended(137, oom=True, limit=2**29),
            LaunchStatus(
                running=False,
                exit_code=-9,
                why="as it ran out of memory: 512 MiB are its limit (MIDCOURSE_TRAINER_MEMORY)",
            ),
        ),
        (
            ended(137, oom=True),
            LaunchStatus(running=False, exit_code=-9, why="as this machine ran out of memory"),
        ),
        (
            ended(125),
            LaunchStatus(
                running=False,
                exit_code=125,
                why="as the control API died before it had told it everything",
            ),
        ),
        (
            ended(124),
            LaunchStatus(
                running=False,
                exit_code=124,
                why="as it cannot write its run's folder: MIDCOURSE_TRAINER_MOUNTS or "
                "MIDCOURSE_TRAINER_USER is wrong",
            ),
        ),
    ],
)
def test_how_a_container_ended(found, status):
    assert status_of(found) == status


# -- the SDK ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the SDK's socket that found nobody
def test_an_engine_that_is_not_there_is_told_from_one_that_refuses(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(LauncherUnreachable, match="there is no socket; DOCKER_HOST says where"):
        Engine().containers("midcourse.run")
    gc.collect()


def test_an_empty_folder_named_docker_is_not_taken_for_the_sdk(tmp_path):
    """Every checkout has one, and Python imports it without a complaint where there is no SDK."""
    (tmp_path / "docker").mkdir()
    program = (
        "import sys; sys.path = [sys.argv[1], sys.argv[2], *[p for p in sys.path if 'packages' not "
        "in p]]; sys.modules['requests'] = type(sys)('requests')\n"
        "from control_api.launchers import docker_engine\n"
        "import docker; assert docker.__file__ is None\n"
        "docker_engine.require_sdk()\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(tmp_path), str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SdkMissing: MIDCOURSE_LAUNCHER=docker needs the Python package docker" in done.stderr
