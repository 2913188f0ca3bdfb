"""The supervisor's judgement; `test_control_processes.py` has the real processes."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from control_api.exits import MOST, Exits
from control_api.launchers.process import ProcessLauncher, start_time
from control_api.supervisor import FIRST_PAUSE, LONGEST_PAUSE, Supervisor, _Child

CHECKOUT = Path(__file__).resolve().parents[2]

# A supervisor of two children that tell of their starts: one lives, one dies at once, with orphans.
PROGRAM = """
import os, signal, subprocess, sys, time
from pathlib import Path
from control_api.exits import Exits
from control_api.supervisor import Orphans, Supervisor

folder = Path(sys.argv[1])

def tell(name):
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()} {time.monotonic()}\\n")

def leave(name, code):
    tell(name)
    os._exit(code)

def lives():
    tell("lives")
    signal.signal(signal.SIGTERM, lambda *_: leave("lived", 0))
    while True:
        time.sleep(60)

def starts():
    program = [sys.executable, str(folder / "trainer.py"), str(folder)]
    with_token = {**os.environ, "MIDCOURSE_RUN_TOKEN": "t"}
    subprocess.Popen(program, env=with_token, start_new_session=True)
    subprocess.Popen(program, start_new_session=True)  # what a trainer has left behind
    signal.signal(signal.SIGTERM, lambda *_: leave("starts no more", 0))
    while True:
        time.sleep(60)

def dies():
    tell("dies")
    orphan = os.fork()
    if orphan == 0:
        os.setsid()
        time.sleep(0.1)
        os._exit(5)
    os.kill(os.getpid(), signal.SIGKILL)

def hangs():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell("hangs")
    while True:
        time.sleep(60)

known = {"lives": lives, "dies": dies, "hangs": hangs, "starts": starts}
works = {name: known[name] for name in sys.argv[2:]}
orphans = Orphans("starts", 30.0) if "starts" in works else None
Supervisor(works, Exits(folder / "exits"), orphans=orphans).run()
"""

# Says with its exit code that it was asked to end, and whether it is a trainer.
TRAINER = """
import os, signal, sys, time
from pathlib import Path

kind = "trainer" if "MIDCOURSE_RUN_TOKEN" in os.environ else "other"

def tell(what):
    Path(sys.argv[1], f"{kind} {what}").write_text(f"{os.getpid()} {time.monotonic()}\\n")

def leave(*_):
    tell("was asked")
    os._exit(143)

signal.signal(signal.SIGTERM, leave)
tell("started")
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    started = []

    def start(*names):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(tmp_path), *names],
                cwd=CHECKOUT,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def told(folder, name, count):
    """The processes that told of their start, and when, once there are so many."""
    deadline = time.monotonic() + 30
    while True:
        file = folder / name
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) >= count:
            return [(int(line.split()[0]), float(line.split()[1])) for line in lines]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_that_dies_early_comes_back_later_each_time(run, tmp_path):
    process = run("lives", "dies")
    starts = [moment for _, moment in told(tmp_path, "dies", 4)]
    pauses = [after - before for before, after in pairwise(starts)][:3]
    assert all(pause >= FIRST_PAUSE * 2**number * 0.99 for number, pause in enumerate(pauses)), (
        pauses
    )
    assert len(told(tmp_path, "lives", 1)) == 1
    process.terminate()
    assert process.wait(30) == 0


def test_it_buries_what_it_adopts_and_notes_how_that_ended(run, tmp_path):
    process = run("lives", "dies")
    told(tmp_path, "dies", 3)
    deadline = time.monotonic() + 30
    while len(notes := list((tmp_path / "exits").glob("*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert all('"code": 5' in note.read_text() for note in notes)
    process.terminate()
    assert process.wait(30) == 0


def test_a_child_that_will_not_end_is_killed_in_time(run, tmp_path):
    process = run("hangs", "lives")
    [(hanging, _)] = told(tmp_path, "hangs", 1)
    began = time.monotonic()
    process.terminate()
    assert process.wait(30) == 0
    assert time.monotonic() - began < 12
    assert start_time(hanging) is None


def test_trainers_end_with_it_if_they_must(run, tmp_path):
    """None is started any more by then, and somebody is there whom they can tell of their end."""
    (tmp_path / "trainer.py").write_text(TRAINER)
    process = run("lives", "starts")
    [(other, _)] = told(tmp_path, "other started", 1)
    try:
        [(trainer, _)] = told(tmp_path, "trainer started", 1)
        told(tmp_path, "lives", 1)
        process.terminate()
        assert process.wait(30) == 0
        ends = ("starts no more", "trainer was asked", "lived")
        moments = [told(tmp_path, name, 1)[0][1] for name in ends]
        assert moments == sorted(moments)
        [note] = (tmp_path / "exits").glob("*.json")
        assert note.name == f"{trainer}.json"
        assert '"code": 143' in note.read_text()
        assert start_time(other) is not None, "what is no trainer is neither asked nor waited for"
    finally:
        os.kill(other, signal.SIGKILL)


def test_the_pause_has_an_end_and_a_long_life_forgets_it(tmp_path):
    now = [0.0]
    supervisor = Supervisor({}, Exits(tmp_path), clock=lambda: now[0])
    child = _Child("web", lambda: 0)
    pauses = []
    for _ in range(9):
        child.pid, child.started_at = 1, now[0]
        supervisor._plan_restart(child, 1)
        pauses.append(child.due_at - now[0])
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert pauses[-1] == LONGEST_PAUSE
    child.pid, child.started_at = 1, now[0]
    now[0] += 60
    supervisor._plan_restart(child, -9)
    assert child.due_at == now[0]


def test_an_exit_is_known_by_process_and_start(tmp_path):
    exits = Exits(tmp_path / "exits")
    assert exits.code(17, "boot:5") is None
    exits.note(17, "boot:5", 3)
    assert exits.code(17, "boot:5") == 3
    assert exits.code(17, "boot:6") is None
    (tmp_path / "exits" / "17.json").write_text("{")
    assert exits.code(17, "boot:5") is None


def test_old_exits_make_room(tmp_path):
    exits = Exits(tmp_path)
    for pid in range(MOST + 5):
        exits.note(pid, "boot:1", 0)
        os.utime(tmp_path / f"{pid}.json", (pid, pid))
    exits.note(MOST + 5, "boot:1", 0)
    left = {int(path.stem) for path in tmp_path.glob("*.json")}
    assert len(left) == MOST
    assert {0, 1, 2} & left == set()


def test_an_adopted_trainer_that_ended_has_its_exit_code(tmp_path):
    exits = Exits(tmp_path)
    trainer = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    os.waitid(os.P_PID, trainer.pid, os.WEXITED | os.WNOWAIT)
    handle = {"pid": trainer.pid, "started": start_time(trainer.pid, though_ended=True)}
    launcher = ProcessLauncher(exits)
    exits.note(trainer.pid, handle["started"], 7)
    trainer.wait()
    status = launcher.status(handle)
    assert (status.running, status.exit_code) == (False, 7)
    assert ProcessLauncher().status(handle).exit_code is None
