"""The `docker` launcher: each trainer in a container of its own, known by its labels.

What a trainer is told (its token, W&B's key, all of its environment) it reads from its standard
input, so that `docker inspect` shows none of it. What it prints goes into the console log itself:
an engine that is away could neither take it nor, once its pipe is full, let the trainer go on.
"""

import contextlib
import os
import signal
from errno import EDQUOT, ENOSPC
from typing import Any

from control_api.container_settings import (
    HOME,
    HOST_NAME,
    IMAGE,
    MEMORY,
    MOUNTS,
    NETWORK,
    USER,
    ContainerSettings,
)
from control_api.launchers.base import (
    Handle,
    LaunchFailed,
    LaunchStatus,
    Remains,
    RunSpec,
)
from control_api.launchers.console import begin
from control_api.launchers.docker_engine import START_SECONDS, Engine, EngineRefused
from midcourse.contract.paths import RunPaths

LABEL = "midcourse.run"
EXPERIMENT, ATTEMPT = "midcourse.experiment", "midcourse.attempt"
_MIB = 2**20
_IN_ORDER = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""The trainer's own exit codes, where all others of this kind are the kernel's."""

_NOT_TOLD, _NO_FOLDER = 125, 124
LISTEN = f"""
while IFS= read -r line; do
    if [ -z "$line" ]; then
        console=$1
        shift
        (: >>"$console") || exit {_NO_FOLDER}
        exec "$@" </dev/null >>"$console" 2>&1
    fi
    export "$line"
done
exit {_NOT_TOLD}
"""
"""What each container runs first, in any image that has a shell: it takes in its environment, a
line each, and becomes the program. Without the empty line at the end, who speaks has died."""

_WHY = {
    _NOT_TOLD: "as the control API died before it had told it everything",
    _NO_FOLDER: f"as it cannot write its run's folder: {MOUNTS} or {USER} is wrong",
}
"""Exit codes of `LISTEN`."""


class DockerLauncher:
    """Starts trainers by the Docker engine of this machine, which knows them when we do not."""

    name = "docker"
    start_seconds = 2 * START_SECONDS

    def __init__(self, settings: ContainerSettings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._running: frozenset[str] = frozenset()
        """The ids of those that ran when we last looked."""

    def submit(self, spec: RunSpec) -> Handle:
        """Make and start a container, unless there is one for this attempt of this run."""
        image = spec.image or self._settings.image
        if not self._settings.allows(image):
            raise LaunchFailed(
                f"the image {image} is not among MIDCOURSE_ALLOWED_IMAGES (any more)"
            )
        words = _words(spec)
        try:
            begin(spec.console, spec.attempt)
            config = container_config(self._settings, spec, self._engine.entrypoint(image))
            container = self._engine.create(_name(spec.run_id, spec.attempt), config)
        except EngineRefused as error:
            if error.status == 409 and (there := self.find(spec.run_id, spec.attempt)):
                return there
            raise _refused(image, error) from None
        except OSError as error:
            why = f"its console log cannot be written: {error}"
            raise LaunchFailed(why, may_pass=error.errno in (EDQUOT, ENOSPC)) from error
        try:
            self._engine.start(container, words)
        except EngineRefused as error:
            with contextlib.suppress(EngineRefused):
                self._engine.remove(container)
            raise _refused(image, error) from None
        return {"container": container}

    def find(self, run_id: str, attempt: int) -> Handle | None:
        """The container of that name, once it was started: until then somebody may be about to."""
        found = self._engine.inspect(_name(run_id, attempt))
        if found is None or found["State"]["Status"] == "created":
            return None
        return {"container": found["Id"]}

    def status(self, handle: Handle) -> LaunchStatus:
        """What we saw when we last looked, or what the engine says of one that did not run then."""
        if handle["container"] in self._running:
            return LaunchStatus(running=True)
        found = self._engine.inspect(handle["container"])
        if found is None:
            return LaunchStatus(running=False, why="when its container was removed")
        return status_of(found)

    def stop(self, handle: Handle, *, force: bool = False) -> None:
        """SIGTERM, or SIGKILL, to the trainer."""
        self._engine.kill(handle["container"], "SIGKILL" if force else "SIGTERM")

    def forget(self, handle: Handle) -> None:
        """Remove the container."""
        with contextlib.suppress(EngineRefused):  # the next time, then
            self._engine.remove(handle["container"])

    def look(self) -> list[Remains]:
        """See which containers there are, in one question."""
        found = self._engine.containers(LABEL)
        # What has died of a full disk, or is about to go, is asked for one by one.
        living = {"running", "paused", "restarting"}
        self._running = frozenset(each["Id"] for each in found if each["State"] in living)
        return [Remains(each["Labels"][LABEL], {"container": each["Id"]}) for each in found]

    def lacks(self) -> str | None:
        """The usual image or network, whose absence is no fault of a run."""
        image, network = self._settings.image, self._settings.network
        if not self._engine.has_image(image):
            return f"the Docker engine has no image {image} ({IMAGE})"
        if not self._engine.has_network(network):
            return f"the Docker engine has no network {network} ({NETWORK})"
        return None


def container_config(
    settings: ContainerSettings, spec: RunSpec, entrypoint: list[str]
) -> dict[str, Any]:
    """What the engine is asked to make, in the form of its API (`POST /containers/create`).

    Args:
        settings: what all trainers have in common.
        spec: the start.
        entrypoint: the image's own, which comes before the command.
    """
    console = RunPaths(HOME, spec.run_id).console_log
    scratch = {"/tmp": "rw,nosuid,nodev,exec,mode=1777"}  # noqa: S108 (the container's own)
    if not any(mount.split(":")[1].rstrip("/") == str(HOME) for mount in settings.mounts):
        # Else the engine makes a volume for each trainer, as our image has one there.
        scratch[str(HOME)] = "rw,nosuid,nodev,noexec,mode=755,size=1m"
    host: dict[str, Any] = {
        "Binds": list(settings.mounts),
        "NetworkMode": settings.network,
        "ExtraHosts": [f"{HOST_NAME}:host-gateway"],
        # The reconciler alone starts a trainer again: it knows what is wanted of the run.
        "RestartPolicy": {"Name": "no"},
        "ReadonlyRootfs": True,
        "Tmpfs": scratch,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": settings.pids,
        "ShmSize": settings.shared_memory,
        # What a trainer leaves behind when it ends is ended and buried by the engine's own init.
        "Init": True,
    }
    if settings.cpus is not None:
        host["NanoCpus"] = round(settings.cpus * 1e9)
    if settings.memory is not None:
        host |= {"Memory": settings.memory, "MemorySwap": settings.memory}
    if (gpu := _gpu(spec.slot)) is not None:
        host["DeviceRequests"] = [{"Driver": "", "DeviceIDs": [gpu], "Capabilities": [["gpu"]]}]
    return {
        "Image": spec.image or settings.image,
        "User": settings.user,
        "Entrypoint": ["/bin/sh", "-c", LISTEN, "midcourse", str(console), *entrypoint],
        "Cmd": list(spec.argv),
        # An engine whose usual runtime is NVIDIA's shows all GPUs to who asks for none.
        "Env": ["HOME=/tmp"] + ([] if gpu is not None else ["NVIDIA_VISIBLE_DEVICES=void"]),
        "Labels": {
            LABEL: spec.run_id,
            EXPERIMENT: spec.experiment,
            ATTEMPT: str(spec.attempt),
        },
        "Hostname": _name(spec.run_id, spec.attempt)[:63],
        # Our image's asks a control API, and trainers have none.
        "Healthcheck": {"Test": ["NONE"]},
        # Of `docker stop` and the engine's own end: a checkpoint takes as long as the disk needs.
        "StopTimeout": 120,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "HostConfig": host,
    }


def status_of(found: dict[str, Any]) -> LaunchStatus:
    """What has become of a trainer, by what the engine knows of its container."""
    state = found["State"]
    if state["Running"]:
        return LaunchStatus(running=True)
    code = int(state["ExitCode"])
    if code > 128 and code not in _IN_ORDER and code - 128 in {*signal.Signals}:
        code = 128 - code
    why = state["Error"] or _WHY.get(code)
    if state["OOMKilled"]:
        limit = found["HostConfig"]["Memory"]
        why = (
            f"as it ran out of memory: {limit // _MIB} MiB are its limit ({MEMORY})"
            if limit
            else "as this machine ran out of memory"
        )
    return LaunchStatus(running=False, exit_code=code, why=why)


def _name(run_id: str, attempt: int) -> str:
    """A container's name is unique in its engine: no attempt is started twice."""
    return f"midcourse-{run_id}-{attempt}"


def _gpu(slot: str) -> str | None:
    kind, _, index = slot.partition(":")
    return index if kind == "gpu" else None


def _words(spec: RunSpec) -> bytes:
    for name, value in spec.environment.items():
        if "\n" in value:
            raise LaunchFailed(f"the variable {name} has several lines, which no container takes")
    lines = [f"{name}={value}\n" for name, value in spec.environment.items()]
    return os.fsencode("".join([*lines, "\n"]))


def _refused(image: str, error: EngineRefused) -> LaunchFailed:
    if error.status == 404 and "image" in str(error).lower():
        return LaunchFailed(
            f"the Docker engine has no image {image}, and trainers' images are not pulled by "
            f"themselves: docker pull {image}"
        )
    # 5xx: it could not, just now; what never passes comes to an end by the count of attempts.
    return LaunchFailed(
        f"the Docker engine refused to start it: {error}", may_pass=error.status >= 500
    )
