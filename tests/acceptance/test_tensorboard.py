"""The real `midcourse tensorboard`, with the real TensorBoard, asked over HTTP."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest
from tracked_runs import BEGIN_SECONDS, RUN, lr_set, metrics, put_run, started, status

from midcourse.contract.base import Record
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunStatus
from midcourse.runlog import RunLogWriter

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.acceptance


def command(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "midcourse.cli", "tensorboard", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's group, which Ctrl-C is for
    )


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start it; whatever comes, none of its processes outlives the test."""
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        begun.append(command(f"--home={tmp_path}", *words, **environment))
        return begun[-1]

    yield start
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def get(url: str, path: str, **query: str) -> Any:
    address = f"{url}{path}?{urlencode(query)}"
    with build_opener(ProxyHandler({})).open(address, timeout=10) as answer:
        return json.loads(answer.read())


def until(look: Callable[[], Any]) -> Any:
    """Look again and again until there is something."""
    pause = threading.Event()
    while not (found := look()):
        pause.wait(0.2)
    return found


def is_gone(group: int) -> bool:
    """Whether no process of a group is left; TensorBoard's own helper ends a moment after it."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def append(paths: RunPaths, *records: Record) -> None:
    log = RunLogWriter(paths.run_log)
    log.append(*records)
    log.close()


def single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def test_tensorboard_shows_a_run_as_it_trains(
    tmp_path: Path, shown: Callable[..., subprocess.Popen[str]]
) -> None:
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    log = [metrics(step, train__loss=1.0 / (step + 1)) for step in range(2000)]
    append(paths, started(), *log[:1000], lr_set(1, 999, 0.1, 0.01))
    process = shown("--port=0", "--json")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    run = f"digits/{RUN}"
    assert told["runs"] == {RUN: run}
    assert told["failed"] == {}
    url = told["url"]
    assert until(lambda: get(url, "data/runs")) == [run]

    def curve(tag: str) -> list[list[float]]:
        try:
            points: list[list[float]] = get(url, "data/plugin/scalars/scalars", run=run, tag=tag)
        except URLError:  # it has read the folder, and not the file
            return []
        return points

    def expected(count: int) -> list[list[float]]:
        return [[one.time, one.step, single(one.values["train/loss"])] for one in log[:count]]

    until(lambda: curve("train/loss") == expected(1000))
    append(paths, *log[1000:], status(RunStatus.FINISHED, 1999))
    until(lambda: curve("train/loss") == expected(2000))
    assert curve("param/optimizer.lr") == [
        [BEGIN_SECONDS, 0, single(0.1)],
        [BEGIN_SECONDS + 999, 999, single(0.1)],
        [BEGIN_SECONDS + 1000, 1000, single(0.01)],
    ]
    assert sorted(get(url, "data/plugin/text/tags")[run]) == [
        "config",
        "interventions",
        "midcourse",
        "summary",
    ]
    [dots] = curve("intervention")
    assert dots[1:] == [999, 1.0]

    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    until(lambda: is_gone(process.pid))
    port = int(url.rstrip("/").rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_sigterm_to_the_command_alone_ends_both(
    tmp_path: Path, shown: Callable[..., subprocess.Popen[str]]
) -> None:
    put_run(RunPaths(tmp_path, RUN))
    process = shown("--port=0", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    until(lambda: is_gone(process.pid))


def test_a_port_in_use_is_one_sentence(
    tmp_path: Path, shown: Callable[..., subprocess.Popen[str]]
) -> None:
    put_run(RunPaths(tmp_path, RUN))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = shown(f"--port={port}")
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert said == (
        f"midcourse: TensorBoard cannot listen at 127.0.0.1:{port} (Address already in use); "
        "--port takes another one, and --port 0 any that is free\n"
    )


def test_without_tensorboard_the_sentence_says_what_to_install(
    tmp_path: Path, shown: Callable[..., subprocess.Popen[str]]
) -> None:
    """A finder that has no such package stands for a machine that has none."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: name != 'tensorboard' and find(name, *more) or None\n"
    )
    process = shown("--no-serve", PYTHONPATH=f"{hidden}{os.pathsep}{ROOT}")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "`pip install tensorboard`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--no-serve", "none"], 1, "there is no run 'none' in "),
        (["--follow"], 2, "--follow is for --no-serve"),
        (["--port", "70000"], 2, "70000"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path,
    shown: Callable[..., subprocess.Popen[str]],
    words: list[str],
    code: int,
    message: str,
) -> None:
    put_run(RunPaths(tmp_path, RUN))
    process = shown(*words)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert message in said
    assert said.count("\n") == 1


def test_only_writing_ends_at_once(
    tmp_path: Path, shown: Callable[..., subprocess.Popen[str]]
) -> None:
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    append(paths, started(), metrics(0, loss=1.0), status(RunStatus.FINISHED, 0))
    process = shown("--no-serve", "--logdir", str(tmp_path / "elsewhere"))
    out, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert out == f"1 run of {tmp_path} in {tmp_path / 'elsewhere'}\n"
    assert len(list((tmp_path / "elsewhere" / "digits" / RUN).glob("events.*"))) == 1
