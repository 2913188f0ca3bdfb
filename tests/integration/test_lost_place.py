"""A trainer that has lost its run, really: stopped by SIGSTOP, succeeded, and woken again.

Locks are imitated as not working, as on some network file systems: only the fence is left.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import children, wait_for

from midcourse.contract.paths import RunPaths
from midcourse.fence import Fence

HERE = Path(__file__).parent.parent

# Of each process: no locks, and a stop right before the first write of a kind after being armed.
SITECUSTOMIZE = """
import fcntl, os, pathlib, signal
fcntl.flock = lambda *_: None
place, armed = os.environ.get("STOP_AT"), pathlib.Path(os.environ["ARMED"])

def stop_once(name):
    global place
    if place and place in name and armed.exists():
        place = None
        os.kill(os.getpid(), signal.SIGSTOP)

pwrite, rename = os.pwrite, pathlib.Path.rename

def slow_pwrite(file, data, offset):
    stop_once(os.readlink(f"/proc/self/fd/{file}"))
    return pwrite(file, data, offset)

def slow_rename(path, target):
    stop_once(path.name)
    return rename(path, target)

os.pwrite, pathlib.Path.rename = slow_pwrite, slow_rename
"""


class Trainers:
    """Attempts at the run `r1`, each a process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.paths = RunPaths(home, "r1")
        self.started: list[subprocess.Popen[bytes]] = []
        (home / "site").mkdir(parents=True)
        (home / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)

    def start(self, attempt: int, **environ: str) -> "subprocess.Popen[bytes]":
        usual = {name: text for name, text in os.environ.items() if "MIDCOURSE" not in name}
        path = [self.home / "site", HERE, HERE.parent]
        with (self.home / f"console-{attempt}").open("wb") as console:
            trainer = subprocess.Popen(
                [sys.executable, str(HERE / "fenced_trainer.py"), str(self.home)],
                env=usual
                | {
                    "PYTHONPATH": os.pathsep.join(map(str, path)),
                    "MIDCOURSE_ATTEMPT": str(attempt),
                    "WANDB_MODE": "disabled",
                    "ARMED": str(self.home / "armed"),
                }
                | environ,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.started.append(trainer)
        return trainer

    def said(self, attempt: int) -> str:
        return (self.home / f"console-{attempt}").read_text()

    def files(self) -> dict[str, str]:
        """Every file of the run, by what is in it."""
        files = [path for path in self.paths.folder.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }

    def clear_away(self) -> None:
        for trainer in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(trainer.pid, signal.SIGKILL)
            trainer.wait()


@pytest.fixture
def trainers(tmp_path: Path) -> Iterator[Trainers]:
    made = Trainers(tmp_path)
    yield made
    made.clear_away()


def stopped_of(trainer: "subprocess.Popen[bytes]") -> list[int]:
    """The trainer and its writer, as far as they stand still."""

    def state(pid: int) -> str:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return ""

    return [pid for pid in (trainer.pid, *children(trainer.pid)) if state(pid) == "T"]


@pytest.mark.parametrize("place", ["training", "runlog.jsonl", "journal.jsonl", ".writing-"])
def test_one_who_was_stopped_changes_nothing_of_its_successors(
    trainers: Trainers, place: str
) -> None:
    old = trainers.start(1, DAWDLE="steps", STOP_AT=place)
    wait_for(lambda: stopped_of(old) or old.poll(), bool, 60)
    assert old.poll() is None, trainers.said(1)
    os.killpg(old.pid, signal.SIGSTOP)  # of a writer that stands still, the trainer too
    new = trainers.start(2)
    assert new.wait(60) == 0, trainers.said(2)
    done = trainers.files()
    assert any("checkpoints" in name for name in done)
    os.killpg(old.pid, signal.SIGCONT)
    assert old.wait(30) == 1
    assert "PlaceLost: run r1 was" in trainers.said(1)
    assert trainers.files() == done


@pytest.mark.parametrize("how", ["steps", "pause", "evaluation"])
def test_it_ends_promptly_wherever_it_is(trainers: Trainers, how: str) -> None:
    old = trainers.start(1, DAWDLE=how)
    wait_for(lambda: (trainers.home / "armed").exists() or old.poll(), bool, 60)
    settled: dict[str, Callable[[], Any]] = {
        "pause": lambda: b'"paused"' in trainers.paths.run_log.read_bytes(),
        "steps": lambda: b'"applied"' in trainers.paths.run_log.read_bytes(),
        "evaluation": lambda: True,
    }
    wait_for(settled[how], bool)
    fence = Fence.take(trainers.paths.fence, 2)
    began = time.monotonic()
    assert old.wait(30) == 1, trainers.said(1)
    assert time.monotonic() - began < 15
    assert "PlaceLost: run r1 was" in trainers.said(1)
    assert fence.holds()


def test_one_that_comes_late_is_turned_away(trainers: Trainers) -> None:
    Fence.take(trainers.paths.fence, 3)
    late = trainers.start(2)
    assert late.wait(60) == 1
    assert "PlaceLost: run r1 was taken over by a later attempt" in trainers.said(2)
    assert set(trainers.files()) == {f"runs/r1/fence/{3:09d}-{1:09d}", "runs/r1/lock"}
