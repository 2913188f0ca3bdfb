"""A Docker engine of our own, and the image in it. Nothing is pulled: the base is made here."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REQUIRE = "MIDCOURSE_TEST_DOCKER"
"""`require` fails where no engine can be started, in place of a skip."""
FOLDER = "MIDCOURSE_TEST_DOCKER_FOLDER"
"""Where an engine keeps what it has, for the next time. Unset: in a folder that goes."""
BASE, IMAGE = "midcourse-test-base", "midcourse-test"
POSTGRES_BASE, POSTGRES = "midcourse-test-postgres-base", "midcourse-test-postgres"
_PROGRAMS = ("dockerd", "docker", "debootstrap")
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_START_SECONDS = 60.0


def why_absent() -> str | None:
    """Why no engine can be started here; None if one can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian's packages docker.io and debootstrap)"
    return None if os.geteuid() == 0 else "only root can start a Docker engine"


class Engine:
    """`dockerd` with a data root, socket and pid file of its own."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="midcourse-docker-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._is_ours = folder is None
        self.host = f"unix://{self.folder / 'sock'}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Containers of before go on (`--live-restore`)."""
        options = {
            "data-root": self.folder / "data",
            "exec-root": self.folder / "exec",
            "pidfile": self.folder / "pid",
            "host": self.host,
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # It ends with us, however we end.
                ["setpriv", "--pdeathsig=TERM", "--", "dockerd", "--live-restore"]
                + [f"--{name}={at}" for name, at in options.items()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self.try_("info").returncode != 0:
            said = (self.folder / "log").read_text(errors="replace")[-3000:]
            assert self._process.poll() is None, f"dockerd does not start:\n{said}"
            assert time.monotonic() < deadline, f"dockerd does not answer:\n{said}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order, and all containers with it."""
        if self._process is None or self._process.poll() is not None:
            return
        if containers := self.run("ps", "--all", "--quiet").split():
            self.run("rm", "--force", "--volumes", *containers)
        self._process.terminate()
        self._process.wait(60)
        # What it leaves mounted: a namespace, and, once it was killed, its folder on itself.
        for mounted in (*(self.folder / "exec/netns").glob("*"), self.folder / "data"):
            subprocess.run(["umount", str(mounted)], capture_output=True, check=False)
        if self._is_ours:
            shutil.rmtree(self.folder, ignore_errors=True)

    def try_(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """`docker …`, whatever comes of it."""
        environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}
        return subprocess.run(
            ["docker", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            **options,
        )

    def run(self, *arguments: str, **options: Any) -> str:
        """`docker …`, which must succeed; what it prints."""
        done = self.try_(*arguments, **options)
        assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container or an image."""
        found: dict[str, Any] = json.loads(self.run("inspect", name))[0]
        return found

    def bridge(self) -> str:
        """The address of this machine on the containers' usual network."""
        config = self.inspect("bridge")["IPAM"]["Config"][0]
        # One that has just made the network does not name its own address there: the first.
        return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))

    def crash(self) -> None:
        """As by a bug: containers are left to themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        # What it leaves of its own helper is no process any more, but may wait to be buried; the
        # next engine would take that for a living one.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def has_image(self, name: str) -> bool:
        """Whether there is an image of that name."""
        return self.try_("image", "inspect", name).returncode == 0

    def build(self) -> str:
        """Build the image by the Dockerfile, from a base that is made here; its name."""
        self._make_base(BASE, "python3,python3-venv,ca-certificates")
        base = ("--build-arg", f"BASE_IMAGE={BASE}")
        self.run("build", "--network=host", *base, f"--tag={IMAGE}", str(ROOT))
        return IMAGE

    def build_postgres(self) -> str:
        """An image that takes what the official one of PostgreSQL takes; its name."""
        self._make_base(POSTGRES_BASE, "postgresql")
        self.run("build", f"--tag={POSTGRES}", str(ROOT / "tests/postgres_image"))
        return POSTGRES

    def _make_base(self, name: str, packages: str) -> None:
        """What `debootstrap` makes; with our certificates, should a proxy be on the way."""
        if self.has_image(name):
            return
        root = self.folder / "base"
        shutil.rmtree(root, ignore_errors=True)
        include = f"--include={packages}"
        try:
            made = subprocess.run(
                ["debootstrap", "--variant=minbase", include, "bookworm", str(root)],
                capture_output=True,
                text=True,
                check=False,
            )
        finally:  # what it mounts, if it was ended on its way
            for mounted in ("proc", "sys"):
                subprocess.run(["umount", str(root / mounted)], capture_output=True, check=False)
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        if (bundle := root / _BUNDLE.relative_to("/")).exists():
            shutil.copyfile(_BUNDLE, bundle)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            environment = {**os.environ, "DOCKER_HOST": self.host}
            imported = ["docker", "import", "-", name]
            subprocess.run(imported, stdin=tar.stdout, env=environment, check=True, stdout=-3)
        assert tar.returncode == 0
        shutil.rmtree(root)
