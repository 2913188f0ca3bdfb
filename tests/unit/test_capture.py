"""Captures: the same bytes each time, in memory that is used again, and never sent half-filled."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load

from midcourse.checkpoints import capture as capture_module
from midcourse.checkpoints.capture import Capture, SharedMemory
from midcourse.checkpoints.writing import WriterProcess
from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, CheckpointRecord, Manifest
from midcourse.contract.paths import RunPaths


class Arrival:
    """Stands for the CUDA event behind a copy: the bytes are there when the test says so."""

    def __init__(self, error: str | None = None) -> None:
        self._there = threading.Event()
        self._error = error

    def come(self) -> None:
        self._there.set()

    def query(self) -> bool:
        return self._there.is_set()

    def synchronize(self) -> None:
        assert self._there.wait(30)
        if self._error:
            raise RuntimeError(self._error)


def content(capture: Capture) -> bytes:
    return bytes(capture.shared.memory[: capture.tensors_size + capture.state_size])


def make_tree(seed: int = 0, **more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "w": torch.randn(5, 3, generator=generator),
        "turned": torch.randn(4, 6, generator=generator).t(),
        "half": torch.randn(7, generator=generator).bfloat16(),
        "none": torch.empty(0, 3),
        "one": torch.tensor(seed),
        "yes": torch.tensor([True, False]),
        **more,
    }


def test_the_first_part_is_a_safetensors_file_of_the_same_values() -> None:
    tree = make_tree()
    capture = Capture(tree)
    found = load(content(capture)[: capture.tensors_size])
    assert set(found) == set(tree)
    for name, tensor in tree.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
    assert capture.is_whole
    capture.shared.close()


def test_memory_used_again_holds_the_same_bytes_as_fresh_memory() -> None:
    memory = SharedMemory(10_000)
    for seed in range(4):
        again = Capture(make_tree(seed), lambda _: memory)
        fresh = Capture(make_tree(seed))
        assert hashlib.sha256(content(again)).digest() == hashlib.sha256(content(fresh)).digest()
        fresh.shared.close()
    other = Capture(make_tree(9, more=torch.ones(100)), lambda _: memory)
    assert torch.equal(load(content(other)[: other.tensors_size])["more"], torch.ones(100))
    back = Capture(make_tree(1), lambda _: memory)
    fresh = Capture(make_tree(1))
    assert content(back) == content(fresh)
    fresh.shared.close()
    memory.close()


def test_a_capture_is_of_its_moment() -> None:
    tree = make_tree()
    capture = Capture(tree)
    before = content(capture)
    tree["w"].zero_()
    assert content(capture) == before
    capture.shared.close()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_two_threads_copy_the_same_bytes_as_one(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {f"w{each}": torch.randn(each + 1, 50) for each in range(count)}
    alone = Capture(tree)
    monkeypatch.setattr(capture_module, "MANY_BYTES", 0)
    together = Capture(tree)
    assert content(together) == content(alone)
    for each in (alone, together):
        each.shared.close()


def test_a_copy_that_fails_on_the_second_thread_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture_module, "MANY_BYTES", 0)
    copy = capture_module._copy
    main = threading.current_thread()

    def fail(pairs: Any, **options: Any) -> None:
        if threading.current_thread() is not main:
            raise RuntimeError("the memory is bad")
        copy(pairs, **options)

    monkeypatch.setattr(capture_module, "_copy", fail)
    with pytest.raises(RuntimeError, match="the memory is bad"):
        Capture({"a": torch.ones(4), "b": torch.ones(4)})


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


class Outcome:
    def __init__(self) -> None:
        self.told = threading.Event()
        self.manifest: Manifest | None = None
        self.error: str | None = None

    def __call__(self, manifest: Manifest | None, error: str | None) -> None:
        self.manifest, self.error = manifest, error
        self.told.set()


def manifest(name: str) -> Manifest:
    record = CheckpointRecord(
        run="r1",
        name=name,
        step=0,
        reason=CheckpointReason.SCHEDULE,
        state_hash="0" * 64,
        bytes=0,
        created_at=utc_now(),
    )
    return Manifest(
        checkpoint=record,
        attempt=0,
        journal_position=0,
        edits=0,
        cursor={},
        parameters={},
        versions={},
        files={},
    )


def on_its_way(writer: WriterProcess, tree: Any, arrival: Arrival) -> Capture:
    capture = writer.capture(tree)
    capture._events = [cast(torch.cuda.Event, arrival)]
    return capture


def test_what_is_on_its_way_is_written_when_it_has_arrived(
    writer: WriterProcess, paths: RunPaths
) -> None:
    arrival, outcome, order = Arrival(), Outcome(), []
    capture = on_its_way(writer, {"w": torch.zeros(4)}, arrival)
    writer.write(
        capture,
        paths.checkpoint("step-0"),
        manifest("step-0"),
        paths.run_log,
        outcome,
        first=lambda: order.append("log"),
    )
    # The loop goes on, and others are written before it.
    other = Outcome()
    writer.write(
        writer.capture({"w": torch.ones(4)}),
        paths.checkpoint("step-1"),
        manifest("step-1"),
        paths.run_log,
        other,
    )
    assert other.told.wait(30)
    assert not outcome.told.is_set()
    assert order == []
    [view] = capture.shared._views
    view.fill_(7.0)
    arrival.come()
    assert outcome.told.wait(30)
    assert outcome.error is None
    assert order == ["log"]
    written = (paths.checkpoint("step-0") / "state.safetensors").read_bytes()
    assert load(written)["w"].tolist() == [7.0] * 4


def test_a_copy_that_fails_fails_its_checkpoint_alone(
    writer: WriterProcess, paths: RunPaths
) -> None:
    arrival, outcome = Arrival("an illegal memory access"), Outcome()
    writer.write(
        on_its_way(writer, {"w": torch.zeros(4)}, arrival),
        paths.checkpoint("step-0"),
        manifest("step-0"),
        paths.run_log,
        outcome,
    )
    arrival.come()
    assert outcome.told.wait(30)
    assert outcome.error == "the state could not be captured: an illegal memory access"
    assert writer.drain(30)
    assert not paths.checkpoint("step-0").exists()


def test_a_writer_killed_meanwhile_gets_the_order_when_it_has_arrived(
    writer: WriterProcess, paths: RunPaths
) -> None:
    arrival, outcome, other = Arrival(), Outcome(), Outcome()
    writer.write(
        on_its_way(writer, {"w": torch.zeros(4)}, arrival),
        paths.checkpoint("step-0"),
        manifest("step-0"),
        paths.run_log,
        outcome,
    )
    writer._process.kill()
    writer.write(
        writer.capture({"w": torch.ones(4)}),
        paths.checkpoint("step-1"),
        manifest("step-1"),
        paths.run_log,
        other,
    )
    assert other.told.wait(30)
    assert other.error is None
    assert not outcome.told.is_set()
    arrival.come()
    assert outcome.told.wait(30)
    assert outcome.error is None


def test_prepared_memory_is_what_the_capture_takes(writer: WriterProcess) -> None:
    writer.prepare(5000)
    [prepared] = writer._spare
    capture = writer.capture({"w": torch.ones(100)})
    assert capture.shared is prepared
    capture.shared.close()


def test_a_state_that_grows_a_little_keeps_its_memory(
    writer: WriterProcess, paths: RunPaths
) -> None:
    memories = []
    for step in (9, 99_999_999):
        outcome = Outcome()
        capture = writer.capture({"w": torch.ones(1000), "step": step})
        memories.append(capture.shared)
        name = f"step-{step}"
        writer.write(capture, paths.checkpoint(name), manifest(name), paths.run_log, outcome)
        assert outcome.told.wait(30)
        assert writer.drain(30)
    assert memories[0] is memories[1]
