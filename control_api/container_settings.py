"""What can be said from outside of trainers that are containers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from midcourse.contract.errors import Fault

LAUNCHER = "MIDCOURSE_LAUNCHER"
IMAGE = "MIDCOURSE_TRAINER_IMAGE"
ALLOWED_IMAGES = "MIDCOURSE_ALLOWED_IMAGES"
MOUNTS = "MIDCOURSE_TRAINER_MOUNTS"
NETWORK = "MIDCOURSE_TRAINER_NETWORK"
API_URL = "MIDCOURSE_TRAINER_API_URL"
USER = "MIDCOURSE_TRAINER_USER"
PASSED_ON = "MIDCOURSE_TRAINER_VARIABLES"
CPUS = "MIDCOURSE_TRAINER_CPUS"
MEMORY = "MIDCOURSE_TRAINER_MEMORY"
SHARED_MEMORY = "MIDCOURSE_TRAINER_SHM_SIZE"
PIDS = "MIDCOURSE_TRAINER_PIDS"
OWN_VARIABLES = frozenset(
    {
        *(LAUNCHER, IMAGE, ALLOWED_IMAGES, MOUNTS, NETWORK, API_URL, USER, PASSED_ON),
        *(CPUS, MEMORY, SHARED_MEMORY, PIDS),
    }
)

PROCESS, DOCKER = "process", "docker"
HOME = Path("/data")
"""Where every trainer's container has the runs: in `/data/runs`."""
HOST_NAME = "host.docker.internal"
"""By which a container finds the machine that it runs on."""
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_LEAST_MEMORY = 6 * 2**20
"""The engine's own."""


@dataclass(frozen=True)
class ContainerSettings:
    """How the `docker` launcher starts a trainer."""

    image: str
    mounts: tuple[str, ...]
    """Each as `docker run --volume` takes it: `source:/target` or `source:/target:ro`."""
    api_url: str
    """Where a trainer finds the control API."""
    user: str
    """`uid:gid`; they share the runs' folder with the control API."""
    network: str = "bridge"
    allowed_images: tuple[str, ...] = ()
    """Patterns of images that runs may bring, such as `ghcr.io/lab/*`."""
    passed_on: tuple[str, ...] = ("WANDB_*", "MIDCOURSE_ALERTS", "MIDCOURSE_CHECKPOINT_DAYS")
    """Patterns of variables whose values trainers get from the control API's environment."""
    cpus: float | None = None
    memory: int | None = None
    """Bytes; no swap beside them."""
    shared_memory: int = 2**30
    """Bytes of `/dev/shm`, for loaders with workers."""
    pids: int = 2048

    @property
    def api_host(self) -> str:
        """The name by which trainers address the control API."""
        return str(urlsplit(self.api_url).hostname)

    def allows(self, image: str) -> bool:
        """Whether a run may bring this image."""
        return image == self.image or any(fnmatchcase(image, each) for each in self.allowed_images)

    def passes_on(self, name: str) -> bool:
        """Whether trainers get this variable; one that no shell could name stays behind."""
        return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and any(
            fnmatchcase(name, each) for each in self.passed_on
        )

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str],
        faults: list[Fault],
        *,
        home: Path,
        host: str,
        port: int,
        in_container: bool,
    ) -> Self | None:
        """The settings, if trainers are to be containers.

        Args:
            environ: the environment.
            faults: where to say what is malformed.
            home: of the control API.
            host: the address that it listens on.
            port: and the port.
            in_container: it is in one itself: what it knows of paths is not what the engine knows.
        """
        launcher = environ.get(LAUNCHER) or PROCESS
        if launcher not in (PROCESS, DOCKER):
            faults.append(Fault(path=LAUNCHER, message=f"must be {PROCESS} or {DOCKER}"))
        if launcher != DOCKER:
            return None
        faults_before = len(faults)
        mounts = _mounts(environ.get(MOUNTS) or "", home, in_container, faults)
        found = cls(
            image=environ.get(IMAGE) or "midcourse",
            mounts=mounts,
            api_url=_api_url(environ.get(API_URL) or "", host, port, in_container, faults),
            user=_user(environ.get(USER) or "", faults),
            network=environ.get(NETWORK) or cls.network,
            allowed_images=_words(environ.get(ALLOWED_IMAGES)),
            passed_on=_words(environ.get(PASSED_ON)) or cls.passed_on,
            cpus=_cpus(environ.get(CPUS) or "", faults),
            memory=_size(MEMORY, environ, faults),
            shared_memory=_size(SHARED_MEMORY, environ, faults) or cls.shared_memory,
            pids=_pids(environ.get(PIDS) or "", cls.pids, faults),
        )
        if found.network == "host":
            message = (
                "must not be host: a trainer would reach all that listens on this machine's "
                "loopback. On any other network it finds the control API by "
                f"{API_URL}"
            )
            faults.append(Fault(path=NETWORK, message=message))
        return found if len(faults) == faults_before else None


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


_MOUNT = re.compile(r"(?P<source>[^:,]+):(?P<target>/[^:,]*)(:(?P<mode>ro|rw))?")
_NEEDED = (str(HOME), str(HOME / "runs"))


def _mounts(text: str, home: Path, in_container: bool, faults: list[Fault]) -> tuple[str, ...]:
    if not text and not in_container:
        # Not all of the home: the admin's token and the database are no business of a trainer.
        return tuple(f"{home / part}:{HOME / part}" for part in ("runs", "data"))
    example = "midcourse_runs:/data/runs,/srv/pictures:/datasets:ro"
    if not text:
        message = (
            "must say which volumes trainers get, as the engine knows them by other names than "
            f"this container does: {example}"
        )
        faults.append(Fault(path=MOUNTS, message=message))
        return ()
    writable = []
    for word in _words(text):
        if (found := _MOUNT.fullmatch(word)) is None:
            message = f"{word!r} is no mount; those are source:/target or source:/target:ro"
            faults.append(Fault(path=MOUNTS, message=message))
        elif found["mode"] != "ro":
            writable.append(found["target"].rstrip("/"))
    if not {*writable} & {*_NEEDED}:
        message = (
            f"must have {HOME / 'runs'}, writable, which trainers and control API share, such as "
            f"{example}"
        )
        faults.append(Fault(path=MOUNTS, message=message))
    return _words(text)


def _api_url(text: str, host: str, port: int, in_container: bool, faults: list[Fault]) -> str:
    if text:
        if not re.fullmatch(r"https?://[^/\s]+/?", text):
            message = f"must be such as http://api:8080, not {text!r}"
            faults.append(Fault(path=API_URL, message=message))
        return text.rstrip("/")
    if in_container:
        message = (
            "must say where trainers find this container, such as http://api:8080 on a network "
            f"that {NETWORK} names"
        )
        faults.append(Fault(path=API_URL, message=message))
    elif host in ("127.0.0.1", "localhost", "::1"):
        message = (
            f"trainers' containers cannot reach {host}. Have the control API listen where they "
            "can: MIDCOURSE_HOST=172.17.0.1 is the address of Docker's own bridge. Or say where "
            f"they find it: {API_URL}"
        )
        faults.append(Fault(path="MIDCOURSE_HOST", message=message))
    return f"http://{HOST_NAME}:{port}"


def _user(text: str, faults: list[Fault]) -> str:
    if text and not re.fullmatch(r"[0-9]{1,10}(:[0-9]{1,10})?", text):
        message = f"must be numbers, such as 1000:1000, not {text!r}"
        faults.append(Fault(path=USER, message=message))
    return text or f"{os.getuid()}:{os.getgid()}"


def _cpus(text: str, faults: list[Fault]) -> float | None:
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) and float(text) > 0:
        return float(text)
    faults.append(Fault(path=CPUS, message=f"must be a number such as 4 or 1.5, not {text!r}"))
    return None


def _pids(text: str, default: int, faults: list[Fault]) -> int:
    if not text:
        return default
    if re.fullmatch(r"[0-9]{2,7}", text):
        return int(text)
    faults.append(Fault(path=PIDS, message=f"must be a number from 10, not {text!r}"))
    return default


def _size(name: str, environ: Mapping[str, str], faults: list[Fault]) -> int | None:
    text = (environ.get(name) or "").lower()
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,15})([bkmg]?)", text)
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if size >= _LEAST_MEMORY:
        return size
    faults.append(Fault(path=name, message=f"must be a size such as 512m or 16g, not {text!r}"))
    return None
