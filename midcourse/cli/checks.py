"""What `midcourse doctor` looks at on this machine, a function for each."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from netrc import NetrcParseError, netrc
from pathlib import Path

import requests

from midcourse.cli.printing import size
from midcourse.contract import environment
from midcourse.contract.base import Record
from midcourse.contract.paths import DEFAULT_HOME
from midcourse.version import __version__

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20.0
"""For a program that is asked; loading torch takes some."""
_NEEDED_BYTES, _WANTED_BYTES = 500_000_000, 5_000_000_000
_TORCH = """
import json, torch
found = {"version": torch.__version__, "cuda": torch.version.cuda, "devices": []}
if torch.cuda.is_available():
    found["devices"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps(found))
"""


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    NOTE = "note"
    """Works without; worth knowing."""
    FAULT = "fault"
    """Midcourse cannot do what it is for."""


class Check(Record):
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    found: str
    mend: str | None = None
    """What to do."""


def source(folder: Path = ROOT) -> Check:
    """Which code this is: its version, and the commit where that can be known."""
    try:  # an image was told when it was made, and has no git
        commit = (folder / "COMMIT").read_text().strip()
    except OSError:
        is_checkout = (folder / ".git").exists()
        names = ["--always", "--dirty", "--abbrev=12", "--exclude=*"]
        told = _run(["git", "-C", str(folder), "describe", *names]) if is_checkout else None
        commit = (told or "").strip()
    which = f"{__version__}, commit {commit}" if commit else __version__
    return Check(name="Midcourse", verdict=Verdict.OK, found=f"{which} ({folder})")


def python() -> Check:
    """Which one runs this; an older one than Midcourse needs would not have come so far."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="Python", verdict=Verdict.OK, found=f"{version} ({sys.executable})")


def torch() -> Check:
    """Can it be loaded, and does it see a GPU? Asked in another process: it may crash."""
    done = _run([sys.executable, "-c", _TORCH])
    try:
        found = json.loads(done.splitlines()[-1]) if done else None
    except ValueError:
        found = None
    if found is None:
        return Check(
            name="PyTorch",
            verdict=Verdict.FAULT,
            found="cannot be loaded; needed where runs train, and not for the command line",
            mend="pip install torch, as https://pytorch.org has it for your machine",
        )
    devices = ", ".join(found["devices"])
    told = f"{found['version']}, CUDA {found['cuda'] or 'none'}"
    if devices:
        return Check(name="PyTorch", verdict=Verdict.OK, found=f"{told}, sees {devices}")
    gpu = shutil.which("nvidia-smi") is not None
    return Check(
        name="PyTorch",
        verdict=Verdict.NOTE,
        found=f"{told}, sees no GPU: runs train on the CPU",
        mend="the driver is too old for this CUDA, or CUDA_VISIBLE_DEVICES hides it: see nvidia-smi"
        if gpu
        else None,
    )


def wandb(environ: Mapping[str, str] | None = None) -> Check:
    """Is there a key, and does its server answer? Without a key runs log offline."""
    environ = os.environ if environ is None else environ
    base = environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    mode = environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled"):
        return Check(name="W&B", verdict=Verdict.NOTE, found=f"{mode}, as WANDB_MODE says")
    if not (environ.get("WANDB_API_KEY") or environ.get("WANDB_TOKEN")):
        kept = " (`wandb login` has kept one, which is not used)" if _kept_key(base) else ""
        return Check(
            name="W&B",
            verdict=Verdict.NOTE,
            found=f"no key{kept}: runs log offline, and `midcourse sync` sends them later",
            mend="set WANDB_API_KEY where the control API is started (https://wandb.ai/authorize)",
        )
    key = environ.get("WANDB_API_KEY") or environ["WANDB_TOKEN"]
    query = {"query": "{ viewer { username } }"}
    try:
        answer = requests.post(f"{base}/graphql", json=query, auth=("api", key), timeout=5)
        viewer = answer.json()["data"]["viewer"] if answer.ok else None
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return Check(
            name="W&B",
            verdict=Verdict.FAULT,
            found=f"{base} cannot be reached; runs train on and send later",
            mend="look at the network and at HTTPS_PROXY, or set WANDB_MODE=offline",
        )
    if viewer is None:
        return Check(
            name="W&B",
            verdict=Verdict.FAULT,
            found=f"{base} does not know the key",
            mend="take a fresh one from https://wandb.ai/authorize into WANDB_API_KEY",
        )
    return Check(name="W&B", verdict=Verdict.OK, found=f"{base}, as {viewer['username']}")


def docker() -> Check:
    """Can containers be started, and have they the GPU? Needed for neither `up` nor the client."""
    if shutil.which("docker") is None and Path("/.dockerenv").exists():
        return Check(
            name="Docker",
            verdict=Verdict.NOTE,
            found="this is a container; whether it may start others is the machine's to say",
            mend="look at `notice` of GET /api/v1/slots, if its trainers are containers",
        )
    if shutil.which("docker") is None:
        return Check(
            name="Docker",
            verdict=Verdict.NOTE,
            found="not installed; runs train as processes of this machine",
            mend="https://docs.docker.com/engine/install/, if you want containers",
        )
    told = _run(["docker", "info", "--format", "{{.ServerVersion}} {{json .Runtimes}}"])
    if not told:
        return Check(
            name="Docker",
            verdict=Verdict.NOTE,
            found="its daemon does not answer",
            mend="start it (`systemctl start docker`), or join its group "
            "(`usermod -aG docker $USER`, then log in again)",
        )
    version = told.split()[0]
    if shutil.which("nvidia-smi") is None:
        return Check(name="Docker", verdict=Verdict.OK, found=f"{version}; no GPU on this machine")
    if "nvidia" in told:
        return Check(name="Docker", verdict=Verdict.OK, found=f"{version}, with GPU access")
    return Check(
        name="Docker",
        verdict=Verdict.NOTE,
        found=f"{version}; its containers cannot have the GPU",
        mend="install nvidia-container-toolkit, then `nvidia-ctk runtime configure` "
        "and restart Docker",
    )


def gpu() -> Check:
    """What the driver says, apart from torch."""
    if shutil.which("nvidia-smi") is None:
        return Check(name="GPU", verdict=Verdict.NOTE, found="no NVIDIA driver; CPU only")
    told = _run(
        ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    )
    if told:
        return Check(name="GPU", verdict=Verdict.OK, found="; ".join(told.strip().splitlines()))
    return Check(
        name="GPU",
        verdict=Verdict.FAULT,
        found="nvidia-smi finds none",
        mend="the driver and the kernel may not fit since an update: reboot, or reinstall it",
    )


def disk(environ: Mapping[str, str] | None = None) -> Check:
    """Is there room for checkpoints, and may they be written?"""
    environ = os.environ if environ is None else environ
    home = Path(environ.get(environment.HOME) or DEFAULT_HOME).expanduser().absolute()
    there = next(folder for folder in [home, *home.parents] if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Check(
            name="Disk",
            verdict=Verdict.FAULT,
            found=f"{home} cannot be written",
            mend="set MIDCOURSE_HOME to a folder that can",
        )
    free = shutil.disk_usage(there).free
    told = f"{size(free)} free for {home}"
    if free >= _WANTED_BYTES:
        return Check(name="Disk", verdict=Verdict.OK, found=told)
    return Check(
        name="Disk",
        verdict=Verdict.FAULT if free < _NEEDED_BYTES else Verdict.NOTE,
        found=told,
        mend="`midcourse delete` ended runs, or set MIDCOURSE_HOME to a larger disk",
    )


def port_is_free(port: int) -> bool:
    """Whether a server could listen there on the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _kept_key(base: str) -> bool:
    try:
        host = base.partition("//")[2].partition("/")[0]
        return netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


def _run(command: Sequence[str]) -> str | None:
    """What a program prints; None if it fails, or takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout or None
