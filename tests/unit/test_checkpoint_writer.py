"""The writer, as the real process that it is."""

import errno
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from midcourse.checkpoints import writing
from midcourse.checkpoints.capture import SharedMemory
from midcourse.checkpoints.store import CheckpointStore
from midcourse.checkpoints.writing import WriterProcess
from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, CheckpointRecord, Manifest
from midcourse.contract.names import checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.errors import StateUnsupported

TREE = {"w": torch.arange(6.0), "lr": 0.1}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    found = RunPaths(tmp_path, "r1")
    found.folder.mkdir(parents=True)
    found.run_log.touch()
    return found


@pytest.fixture
def writer(paths: RunPaths) -> Iterator[WriterProcess]:
    lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT)
    made = WriterProcess(lock)
    yield made
    made.close()
    os.close(lock)


def manifest(name: str, **parameters: Any) -> Manifest:
    return Manifest(
        checkpoint=CheckpointRecord(
            run="r1",
            name=name,
            step=checkpoint_step(name),
            reason=CheckpointReason.SCHEDULE,
            state_hash="0" * 64,
            bytes=0,
            created_at=utc_now(),
        ),
        attempt=0,
        journal_position=0,
        edits=0,
        cursor={},
        parameters=parameters,
        versions={},
        files={},
    )


def order(
    writer: WriterProcess,
    paths: RunPaths,
    name: str,
    tree: Any = TREE,
    asked: Manifest | None = None,
    **parameters: Any,
) -> "Future[Manifest]":
    promise: Future[Manifest] = Future()

    def done(written: Manifest | None, error: str | None) -> None:
        if written is None:
            promise.set_exception(OSError(error))
        else:
            promise.set_result(written)

    capture = writer.capture(tree)
    asked = asked or manifest(name, **parameters)
    writer.write(capture, paths.checkpoint(name), asked, paths.run_log, done)
    return promise


def test_it_writes_what_it_is_given(writer: WriterProcess, paths: RunPaths) -> None:
    promises = [
        order(writer, paths, f"step-{step}", {"w": torch.full((4,), step)}) for step in range(5)
    ]
    assert writer.drain(30)
    store = CheckpointStore(paths)
    for step, promise in enumerate(promises):
        found, tree = store.load(f"step-{step}")
        assert found == promise.result()
        assert tree["w"].tolist() == [step] * 4


def test_a_killed_writer_is_replaced_and_the_order_done_again(
    writer: WriterProcess, paths: RunPaths
) -> None:
    assert order(writer, paths, "step-0").result(30)
    os.kill(writer._process.pid, signal.SIGSTOP)
    promise = order(writer, paths, "step-1")
    os.kill(writer._process.pid, signal.SIGKILL)
    assert promise.result(30).checkpoint.name == "step-1"
    assert CheckpointStore(paths).names() == ["step-0", "step-1"]
    assert order(writer, paths, "step-2").result(30)


def test_a_writer_may_die_when_the_checkpoint_is_there_and_nobody_was_told(
    writer: WriterProcess, paths: RunPaths
) -> None:
    """An order is given again as it was; another one of that name must not pass for it."""
    asked = manifest("step-0")
    first = order(writer, paths, "step-0", asked=asked).result(30)
    assert order(writer, paths, "step-0", asked=asked).result(30) == first
    for another in ({"asked": manifest("step-0", lr=0.2)}, {"asked": asked, "tree": {"lr": 0.2}}):
        with pytest.raises(OSError, match="not empty"):
            order(writer, paths, "step-0", **another).result(30)
    assert CheckpointStore(paths).load("step-0")[0] == first
    assert [each.name for each in paths.checkpoints.iterdir()] == ["step-0"]


def test_a_writer_that_dies_again_and_again_is_given_up_for_that_checkpoint(
    writer: WriterProcess, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writing.sys, "executable", "/bin/false")
        os.kill(writer._process.pid, signal.SIGSTOP)
        promise = order(writer, paths, "step-0")
        os.kill(writer._process.pid, signal.SIGKILL)
        with pytest.raises(OSError, match="the checkpoint writer died twice"):
            promise.result(30)
    assert CheckpointStore(paths).names() == []


def test_if_no_writer_can_be_started_nobody_waits_for_ever(
    writer: WriterProcess,
    paths: RunPaths,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    os.kill(writer._process.pid, signal.SIGSTOP)
    promise = order(writer, paths, "step-0")
    with caplog.at_level(logging.CRITICAL):
        os.kill(writer._process.pid, signal.SIGKILL)
        with pytest.raises(OSError, match=r"cannot be reached.*temporarily unavailable"):
            promise.result(30)
    with pytest.raises(OSError, match="cannot be reached"):
        order(writer, paths, "step-1").result(30)
    assert writer.drain(0)


def test_a_folder_that_cannot_be_written_is_told_and_leaves_nothing(
    writer: WriterProcess, paths: RunPaths
) -> None:
    paths.checkpoints.write_text("in the way")
    with pytest.raises(OSError, match=r"(Not a directory|File exists): .*step-0"):
        order(writer, paths, "step-0").result(30)
    paths.checkpoints.unlink()
    assert order(writer, paths, "step-0").result(30)


def test_a_full_disk_leaves_nothing_behind(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT)
    with monkeypatch.context() as patch:  # the process must not write files above 100 kB
        patch.setattr(writing.sys, "executable", _limited(paths.folder))
        writer = WriterProcess(lock)
    try:
        assert order(writer, paths, "step-0").result(30)
        with pytest.raises(OSError, match=r"File too large: .*step-1"):
            order(writer, paths, "step-1", {"w": torch.zeros(1_000_000)}).result(30)
        assert [path.name for path in paths.checkpoints.iterdir()] == ["step-0"]
        assert order(writer, paths, "step-2").result(30)
    finally:
        writer.close()
        os.close(lock)


def _limited(folder: Path) -> str:
    program = folder / "limited"
    # Python ignores SIGXFSZ, so a write beyond the limit fails with EFBIG as a full disk's would.
    program.write_text(f'#!/bin/sh\nulimit -f 200\nexec {os.sys.executable} "$@"\n')  # type: ignore[attr-defined]
    program.chmod(0o755)
    return str(program)


def test_a_manifest_too_long_to_be_sent_is_refused(writer: WriterProcess, paths: RunPaths) -> None:
    with pytest.raises(OSError, match="its manifest would be longer than"):
        order(writer, paths, "step-0", text="x" * 300_000).result(30)
    almost = order(writer, paths, "step-1", text="x" * 147_000).result(30)
    assert len(str(almost.parameters["text"])) == 147_000


def test_what_follows_a_checkpoint_may_fail_and_others_are_written(
    writer: WriterProcess, paths: RunPaths, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("in the callback")

    writer.write(
        writer.capture(TREE), paths.checkpoint("step-0"), manifest("step-0"), paths.run_log, fail
    )
    assert order(writer, paths, "step-1").result(30)
    assert "what follows a checkpoint failed" in caplog.text


def test_memory_is_used_again_and_given_back(writer: WriterProcess, paths: RunPaths) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    order(writer, paths, "step-0").result(30)
    writer.drain(30)
    before = open_files()
    for step in range(1, 6):
        order(writer, paths, f"step-{step}", {"w": torch.zeros(step * 1000)}).result(30)
        writer.drain(30)
        with pytest.raises(StateUnsupported):
            writer.capture({"w": torch.zeros(10), "bad": object()})
    assert open_files() == before


def test_two_captures_wait_at_most(writer: WriterProcess, paths: RunPaths) -> None:
    """A third state is copied only when the disk has taken one: memory is not the disk's buffer."""
    os.kill(writer._process.pid, signal.SIGSTOP)
    promises = [order(writer, paths, f"step-{step}") for step in range(2)]
    pid = writer._process.pid
    starter = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.2; kill -CONT {pid}"])
    began = time.monotonic()
    promises.append(order(writer, paths, "step-2"))
    assert time.monotonic() - began > 0.1
    assert all(promise.result(30) for promise in promises)
    starter.wait()


def test_shared_memory_closes_what_it_opened() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    memory = SharedMemory(100)
    memory.memory[:3] = b"abc"
    memory.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_writer_does_not_import_from_the_working_directory_nor_see_secrets(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    (paths.folder / "json.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(paths.folder)
    monkeypatch.setenv("WANDB_API_KEY", "k3y")
    monkeypatch.setenv("MIDCOURSE_RUN_TOKEN", "k3y")
    lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT)
    writer = WriterProcess(lock)
    try:
        assert order(writer, paths, "step-0").result(30)
        environment = Path(f"/proc/{writer._process.pid}/environ").read_bytes()
        assert b"k3y" not in environment
    finally:
        writer.close()
        os.close(lock)
