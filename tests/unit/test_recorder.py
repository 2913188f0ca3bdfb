"""What the loop logs, on its way to the run log: nothing is read in the loop, nothing is lost."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from midcourse import logbook
from midcourse.branch import Branch
from midcourse.contract.base import utc_now
from midcourse.contract.records import Metrics, Notice, parse_record
from midcourse.logbook import Logbook
from midcourse.readings import numbers_at_hand
from midcourse.recorder import SHIP_EVERY, Recorder
from midcourse.runlog import RunLogReader, RunLogWriter, metrics_lines

NEVER = 1e6
"""Seconds: the recorder's thread does nothing by itself."""


class Log:
    """A logbook over a recorder over a file, as a session has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told = 0
        self.recorder = Recorder(RunLogWriter(path), self._tell, lambda: None, seconds=NEVER)
        branch = cast(Branch, SimpleNamespace(recorder=self.recorder))
        self.log = Logbook(lambda: branch, None).log

    def _tell(self) -> None:
        self.told += 1

    def read(self) -> list[Metrics]:
        self.recorder.flush()
        reader = RunLogReader(self.path)
        found = []
        while records := reader.read():
            found += [record for record in records if isinstance(record, Metrics)]
        return found

    def values(self) -> dict[str, Any]:
        return {name: value for record in self.read() for name, value in record.values.items()}


@pytest.fixture(params=["at hand", "on a device"])
def log(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Log]:
    """A log that takes tensors as what they are, in the host's memory; or as if on a device."""
    if request.param == "on a device":
        monkeypatch.setattr(logbook, "numbers_at_hand", lambda _: None)
    made = Log(tmp_path / "runlog.jsonl")
    yield made
    made.recorder.close()


class Reads(TorchDispatchMode):
    """Counts the calls by which a host reads a tensor, on the thread that enters it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "_to_copy", "equal", "is_nonzero"):
            self.calls.append(name)
        return func(*args, **(kwargs or {}))


def scalars() -> dict[str, torch.Tensor]:
    return {f"value/{index}": torch.tensor(index / 7) for index in range(10)}


@pytest.mark.parametrize(
    "values",
    [
        scalars(),
        {**scalars(), "lr": 0.1},
        {"lr": 0.1, **scalars(), "count": torch.tensor(3), "shaped": torch.tensor([0.5])},
        {"loss": torch.tensor(2.0, requires_grad=True) * 3},
    ],
    ids=["tensors", "tensors and a float", "kinds mixed", "with a graph"],
)
def test_no_tensor_is_read_in_the_loop(
    log: Log, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a tensor was read in the loop")

    with monkeypatch.context() as patch, Reads() as reads:
        for name in ("item", "tolist", "numpy", "cpu", "__float__", "__bool__", "__index__"):
            patch.setattr(torch.Tensor, name, refuse)
        for step in range(5):
            log.log(step, values)
    assert reads.calls == []
    assert len(log.read()) == 5


def test_what_is_not_in_the_hosts_memory_is_not_read() -> None:
    here, elsewhere = torch.tensor(1.0), torch.empty((), device="meta")
    assert numbers_at_hand((here,)) == (1.0,)
    assert numbers_at_hand((here, elsewhere)) is None


def test_the_proof_that_nothing_is_read_can_fail() -> None:
    with Reads() as reads:
        torch.tensor(1.0).item()
    assert reads.calls == ["_local_scalar_dense"]


@pytest.mark.parametrize(
    "companions", [{}, {"other": torch.tensor(1.0)}, {"lr": 0.1}, {"count": torch.tensor(1)}]
)
def test_what_was_logged_stays_whatever_becomes_of_the_tensor(
    log: Log, companions: dict[str, Any]
) -> None:
    loss, one = torch.tensor(0.5), torch.tensor([0.25])
    log.log(0, {"loss": loss, **companions})
    log.log(1, {"one": one, **companions})
    loss.fill_(9.0)
    one.zero_()
    assert log.values()["loss"] == 0.5
    assert log.values()["one"] == 0.25


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        (torch.tensor(0.1, dtype=torch.float64), 0.1),
        (torch.tensor(0.1), 0.10000000149011612),
        (torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625),
        (torch.tensor(0.1, dtype=torch.float16), 0.0999755859375),
        (torch.tensor(2**24 + 1), 16777217.0),
        (torch.tensor(-5, dtype=torch.int8), -5.0),
        (torch.tensor(7, dtype=torch.uint16), 7.0),
        (torch.tensor(True), 1.0),
        (torch.tensor([[3.5]]), 3.5),
        (torch.tensor(2.5, requires_grad=True), 2.5),
        (torch.nn.Parameter(torch.tensor(4.5)), 4.5),
        (torch.arange(6.0)[4], 4.0),
        (torch.tensor(1.5 - 2j).conj().imag, 2.0),
        (torch.tensor([1.0, 7.0]).to_sparse()[1], 7.0),
        (torch.tensor(float("-inf")), "-Infinity"),
    ],
)
@pytest.mark.parametrize("companion", [None, torch.tensor(1.5), torch.tensor(1), 0.5])
def test_values_of_all_types_are_exact_in_any_company(
    log: Log, tensor: torch.Tensor, value: float, companion: Any
) -> None:
    log.log(0, {"value": tensor} if companion is None else {"value": tensor, "other": companion})
    found = log.values()
    assert found["value"] == value
    assert type(found["value"]) is type(value)
    if companion is not None:
        assert found["other"] == float(companion)


def test_a_tensor_with_a_graph_lets_go_of_it(log: Log) -> None:
    weight = torch.ones((), requires_grad=True)
    losses = {name: (weight * 2).sum() for name in ("one", "two")}
    log.log(0, losses)
    for loss in losses.values():
        loss.backward()
    assert weight.grad == 4.0
    [[_, _, _, _, readings]] = log.recorder._rows
    assert not any(kept.requires_grad for kept, _ in readings)


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(2),
        torch.tensor([]),
        torch.tensor(1j),
        "0.5",
        None,
    ],
)
@pytest.mark.parametrize("companion", [{}, {"other": torch.tensor(1.0)}, {"other": 1.0}])
def test_what_is_no_number_is_refused(log: Log, value: Any, companion: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"value is a .*; log numbers, tensors of one element"):
        log.log(0, {"value": value, **companion})
    assert log.read() == []


def test_a_row_is_many_numbers_in_one_tensor(log: Log) -> None:
    names = ("a", "b", "c")
    for step in range(3):
        log.recorder.row(step, names, torch.tensor([step, 0.5, float("nan")]))
    log.log(3, {"loss": torch.tensor(1.0)})
    found = log.read()
    assert [record.values for record in found[:3]] == [
        {"a": float(step), "b": 0.5, "c": "NaN"} for step in range(3)
    ]
    assert found[3].values == {"loss": 1.0}


def test_metrics_come_before_a_record_that_was_made_after_them(log: Log) -> None:
    log.log(0, {"loss": torch.tensor(1.0)})
    log.recorder.record(Notice(at=utc_now(), message="after"))
    log.log(1, {"loss": torch.tensor(2.0)})
    log.recorder.flush()
    kinds = [type(record).__name__ for record in RunLogReader(log.path).read()]
    assert kinds == ["Metrics", "Notice", "Metrics"]


def test_a_full_disk_keeps_what_was_logged(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log.log(0, {"loss": torch.tensor(1.0)})
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert not log.recorder.flush()
        log.log(1, {"loss": torch.tensor(2.0)})
    assert [record.values["loss"] for record in log.read()] == [1.0, 2.0]


def test_a_record_is_told_at_once_and_metrics_now_and_then(tmp_path: Path) -> None:
    told, flushed = threading.Semaphore(0), threading.Semaphore(0)
    recorder = Recorder(
        RunLogWriter(tmp_path / "log"), told.release, flushed.release, seconds=0.001
    )
    recorder.record(Notice(at=utc_now(), message="now"))
    assert told.acquire(timeout=0)
    recorder.metrics(0, {"loss": 1.0}, {})
    assert told.acquire(timeout=30)
    for _ in range(3 * SHIP_EVERY):
        assert flushed.acquire(timeout=30)
    assert not told.acquire(timeout=0)  # nothing new
    recorder.close()


@given(
    st.lists(st.floats(), min_size=1, max_size=5),
    st.text(max_size=8).filter(lambda name: name.isprintable()),
)
def test_every_float_is_read_back_as_it_was(numbers: list[float], name: str) -> None:
    names = tuple(f"{name}%{index}" for index in range(len(numbers)))
    [line] = metrics_lines([(1.5, 3, names, numbers)])
    record = _parse(line)
    assert (record.time, record.step) == (1.5, 3)
    assert [repr(float(record.values[each])) for each in names] == [repr(n) for n in numbers]


def _parse(line: bytes) -> Metrics:
    record = parse_record(line)
    assert isinstance(record, Metrics)
    return record


def test_threads_may_record_while_the_loop_logs(log: Log) -> None:
    recorder = log.recorder

    def record() -> None:
        for _ in range(50):
            recorder.record(Notice(at=utc_now(), message="aside"))

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(500):
        log.log(step, {"loss": torch.tensor(float(step)), "lr": 0.5})
    for thread in threads:
        thread.join()
    assert [record.values["loss"] for record in log.read()] == [float(s) for s in range(500)]
