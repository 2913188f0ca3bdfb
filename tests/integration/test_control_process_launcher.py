"""The process launcher, with real processes."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from control_api.launchers.base import LaunchFailed, RunSpec
from control_api.launchers.console import last_lines
from control_api.launchers.process import ProcessLauncher, start_time
from midcourse.contract import environment
from midcourse.contract.names import new_run_id


@pytest.fixture
def run_id():
    """Its own for each test: others may run on this machine just now."""
    return new_run_id()


@pytest.fixture
def spec(tmp_path, run_id):
    def make(program, *, attempt=1, python=sys.executable):
        return RunSpec(
            run_id=run_id,
            experiment="e",
            attempt=attempt,
            slot="cpu:0",
            argv=(python, "-c", program),
            environment={
                environment.RUN_ID: run_id,
                environment.ATTEMPT: str(attempt),
                environment.RUN_TOKEN: "mc_secret",
                "PYTHONUNBUFFERED": "1",
            },
            folder=tmp_path,
            console=tmp_path / "run" / "console.log",
        )

    return make


@pytest.fixture
def launcher():
    launcher = ProcessLauncher()
    yield launcher
    for child in launcher._children.values():
        child.kill()
        child.wait()


def ended(launcher, handle):
    deadline = time.monotonic() + 30
    while (status := launcher.status(handle)).running:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return status


def begun(launcher, spec):
    """Start a program that says so; before that, its variables may not be in place yet."""
    handle = launcher.submit(spec)
    deadline = time.monotonic() + 30
    while last_lines(spec.console) == "":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return handle


SLEEP = "import time; print('begun'); time.sleep(60)"


@pytest.mark.parametrize(
    ("program", "code"),
    [("", 0), ("raise SystemExit(2)", 2), ("import os; os.kill(os.getpid(), 9)", -9)],
)
def test_exit_codes_of_our_own_children_are_known(launcher, spec, program, code):
    assert ended(launcher, launcher.submit(spec(program))).exit_code == code


def test_what_it_prints_is_kept_attempt_by_attempt(launcher, spec):
    first = spec("import sys; print('one'); print('two', file=sys.stderr)")
    ended(launcher, launcher.submit(first))
    assert last_lines(first.console) == "one\ntwo"
    ended(launcher, launcher.submit(spec("print('three')", attempt=2)))
    assert last_lines(first.console) == "three"
    assert first.console.read_text().count("--- attempt") == 2
    ended(launcher, launcher.submit(spec("", attempt=3)))
    assert last_lines(first.console) == ""


def test_the_last_lines_of_a_long_story(tmp_path):
    console = tmp_path / "console.log"
    assert last_lines(console) == ""
    console.write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert last_lines(console, lines=2) == "line 99998\nline 99999"


def test_a_trainer_has_a_session_of_its_own_and_no_token_in_its_arguments(launcher, spec):
    pid = launcher.submit(spec(SLEEP))["pid"]
    assert os.getsid(pid) == pid
    assert b"mc_secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_trainer_is_adopted_by_a_launcher_that_did_not_start_it(launcher, spec, run_id):
    handle = begun(launcher, spec(SLEEP))
    adopter = ProcessLauncher()
    assert adopter.status(handle).running
    assert adopter.find(run_id, 1) == handle
    assert adopter.find(run_id, 2) is None
    adopter.stop(handle)
    assert ended(adopter, handle).exit_code is None  # seen as a zombie: it is ours, not theirs
    assert ended(launcher, handle).exit_code == -signal.SIGTERM
    adopter.stop(handle)


def test_the_same_id_is_not_the_same_process(launcher, spec):
    handle = launcher.submit(spec(SLEEP))
    assert not ProcessLauncher().status(handle | {"started": "before"}).running
    stranger = {"pid": os.getpid(), "started": "before"}
    ProcessLauncher().stop(stranger, force=True)  # or this test would not live to tell


def test_start_times(launcher, spec):
    assert start_time(os.getpid()) == start_time(os.getpid())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert start_time(dead.pid) is None


def test_a_tracker_that_outlives_its_trainer_is_not_taken_for_it(run_id):
    """It has a session of its own and the run's variables, but for the token."""
    variables = {environment.RUN_ID: run_id, environment.ATTEMPT: "1"}
    command = [sys.executable, "-c", "input()"]
    tracker = subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        assert ProcessLauncher().find(run_id, 1) is None
    finally:
        tracker.kill()
        tracker.communicate()


def test_children_of_a_trainer_are_not_taken_for_it(launcher, spec, run_id):
    parent = (
        "import subprocess, sys; print('begun')\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "child.wait(60)  # which it does not end before: nobody closes its input"
    )
    handle = begun(launcher, spec(parent))
    assert ProcessLauncher().find(run_id, 1) == handle


def test_what_cannot_be_started_says_why(launcher, spec):
    with pytest.raises(LaunchFailed, match="/no/python could not be started: "):
        launcher.submit(spec("", python="/no/python"))


def test_an_attempt_is_started_once_however_often_it_is_asked_for(launcher, spec, run_id):
    """By who started it, and by a launcher that knows nothing of it."""
    first = begun(launcher, spec(SLEEP))
    assert launcher.submit(spec(SLEEP)) == first
    stranger = ProcessLauncher()
    assert stranger.submit(spec(SLEEP)) == first
    assert stranger._children == {}
    assert (spec(SLEEP).console).read_text().count("--- attempt") == 1
    launcher.stop(first, force=True)
    ended(launcher, first)
    assert launcher.submit(spec(SLEEP)) == first, "it has been, and is over"


def test_another_process_of_the_same_id_is_not_taken_for_our_child(launcher, spec):
    handle = launcher.submit(spec(""))
    ended(launcher, handle)
    ours_now = {"pid": os.getpid(), "started": start_time(os.getpid())}
    launcher._children[os.getpid()] = launcher._children[handle["pid"]]
    assert launcher.status(ours_now).running
    del launcher._children[os.getpid()]


def test_a_machine_short_of_something_may_recover(launcher, spec, monkeypatch):
    def short(*_args, **_options):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.Popen", short)
        with pytest.raises(LaunchFailed) as failed:
            launcher.submit(spec(SLEEP))
    assert failed.value.may_pass
    with pytest.raises(LaunchFailed) as failed:
        launcher.submit(spec(SLEEP, python="/no/such/python"))
    assert not failed.value.may_pass


def test_ended_children_are_forgotten_in_time(launcher, spec, monkeypatch):
    monkeypatch.setattr("control_api.launchers.process.MOST_CHILDREN", 2)
    for attempt in range(1, 6):
        ended(launcher, launcher.submit(spec("", attempt=attempt)))
    assert len(launcher._children) <= 3
