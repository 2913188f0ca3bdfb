"""The `process` launcher: trainers as processes of this machine, which outlive the API.

A process is known by its id and its start time, since ids are used again. The ones that this
process started are its children, and their exit codes are known. Those of an earlier reconciler
are the supervisor's by now, which notes their exit codes (`control_api.exits`).
"""

import contextlib
import os
import signal
import subprocess
from errno import EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC
from pathlib import Path

from control_api.exits import Exits
from control_api.launchers.base import (
    Handle,
    LaunchFailed,
    LaunchStatus,
    Remains,
    RunSpec,
)
from control_api.launchers.console import begin
from midcourse.contract import environment

PROC = Path("/proc")
MOST_CHILDREN = 200
"""How many are remembered though they have ended."""
MAY_PASS = frozenset({EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC})
"""Errors of a machine that is short of memory, processes, files or disk."""


class ProcessLauncher:
    """Starts each trainer in a session of its own, so that no Ctrl-C of ours reaches it."""

    name = "process"
    start_seconds = 0.0

    def __init__(self, exits: Exits | None = None) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        """Kept only to ask them for their exit codes."""
        self._handles: dict[tuple[str, int], Handle] = {}
        """Of the same, by run and attempt."""
        self._exits = exits

    def submit(self, spec: RunSpec) -> Handle:
        """Start a trainer, its output going to the console log, unless it is there already."""
        key = (spec.run_id, spec.attempt)
        if there := self._handles.get(key) or self.find(*key):
            return there
        try:
            begin(spec.console, spec.attempt)
            with spec.console.open("ab") as console:
                child = subprocess.Popen(
                    spec.argv,
                    cwd=spec.folder,
                    env=dict(spec.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            why = f"{spec.argv[0]} could not be started: {error}"
            raise LaunchFailed(why, may_pass=error.errno in MAY_PASS) from error
        self._forget_ended(child.pid)
        self._children[child.pid] = child
        handle = {"pid": child.pid, "started": start_time(child.pid, though_ended=True)}
        self._handles[key] = handle
        return handle

    def _forget_ended(self, reused: int) -> None:
        """Let go of the child whose id is used again, and of the oldest that have ended."""
        for number, (key, handle) in enumerate([*self._handles.items()][::-1]):
            pid = handle["pid"]
            is_old = number >= MOST_CHILDREN and self._children[pid].returncode is not None
            if pid == reused or is_old:
                del self._handles[key]
                del self._children[pid]

    def find(self, run_id: str, attempt: int) -> Handle | None:
        """Look through all processes for the trainer with this attempt's variables."""
        wanted = {
            f"{environment.RUN_ID}={run_id}".encode(),
            f"{environment.ATTEMPT}={attempt}".encode(),
        }
        for folder in PROC.glob("[0-9]*"):
            pid = int(folder.name)
            if wanted <= _variables(pid) and is_trainer(pid):
                return {"pid": pid, "started": start_time(pid)}
        return None

    def status(self, handle: Handle) -> LaunchStatus:
        """Ask our child, or look whether the process of that id is still the same."""
        pid = handle["pid"]
        child = self._children.get(pid)
        if child is not None and handle in self._handles.values():
            code = child.poll()
            return LaunchStatus(running=code is None, exit_code=code)
        known = handle["started"]
        if known is not None and start_time(pid) == known:
            return LaunchStatus(running=True)
        if self._exits is None or known is None:
            return LaunchStatus(running=False)
        # In this order: a zombie that is gone by the second look has been noted by then.
        about_to_be_noted = start_time(pid, though_ended=True) == known and _is_sibling(pid)
        code = self._exits.code(pid, known)
        return LaunchStatus(running=code is None and about_to_be_noted, exit_code=code)

    def stop(self, handle: Handle, *, force: bool = False) -> None:
        """SIGTERM, or SIGKILL, to the trainer alone: its tracker has an end of its own."""
        if self.status(handle).running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(handle["pid"], signal.SIGKILL if force else signal.SIGTERM)

    def forget(self, handle: Handle) -> None:
        """Nothing is left of a process that has ended."""
        self.stop(handle, force=True)

    def look(self) -> list[Remains]:
        """Processes are looked at one by one."""
        return []

    def lacks(self) -> str | None:
        """This machine is all that a process needs."""
        return None


def start_time(pid: int, *, though_ended: bool = False) -> str | None:
    """When a living process began, in words that no other process of this id shares.

    None if there is none, or only what is left of one that nobody has waited for (a zombie), but
    for `though_ended`.
    """
    if not PROC.is_dir():
        return _start_time_by_ps(pid)
    try:
        told = (PROC / str(pid) / "stat").read_text(errors="replace")
        fields = told.rpartition(")")[2].split()
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, ticks_since_boot = fields[0], fields[19]
    return None if state in "ZX" and not though_ended else f"{boot}:{ticks_since_boot}"


def is_trainer(pid: int) -> bool:
    """Whether a process leads a session and has a run's token.

    The tracker that a trainer starts leads one, too, and lives on; but it has no token.
    """
    token = f"{environment.RUN_TOKEN}=".encode()
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid and any(each.startswith(token) for each in _variables(pid))
    return False


def _variables(pid: int) -> set[bytes]:
    """The environment that a process was started with; empty where nobody may look, or it ended."""
    try:
        return set((PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def _is_sibling(pid: int) -> bool:
    """Whether a process has the same parent as this one."""
    try:
        told = (PROC / str(pid) / "stat").read_text(errors="replace")
        parent = told.rpartition(")")[2].split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(parent) == os.getppid()


def _start_time_by_ps(pid: int) -> str | None:
    """Where there is no /proc (macOS)."""
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 (where it lies differs)
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = done.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
