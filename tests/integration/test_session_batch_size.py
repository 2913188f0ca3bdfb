"""`data.batch_size` and built-in live values of a program of the user's own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import command, receipts, records, set_up, start
from torch.utils.data import DataLoader, Dataset, TensorDataset

from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.errors import InvalidInput
from midcourse.contract.records import Started


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


class Noisy(Dataset[Any]):
    """Samples with something random in them."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([float(index), torch.rand(()).item()])


def walk(
    home: Path, data: Any, changes: dict[int, Any], fail_at: int | None = None, **options: Any
) -> Iterator[torch.Tensor]:
    """The batches of two epochs; a change acts at the boundary of its step."""
    numbers = {step: seq for seq, step in enumerate(sorted(changes), start=1)}
    with start(home, checkpoint_every="3 steps") as run:
        work = set_up(run)
        for batch in run.batches(data, epochs=2, **options):
            work()
            yield batch[0] if isinstance(batch, list | tuple) else batch
            if run.current_step == fail_at:
                run.branch.writer.drain()
                raise RuntimeError("the process dies")
            if (step := run.current_step) in changes:
                change = {"data.batch_size": changes[step]}
                run.boundary.mailbox.post(command(numbers[step], "set", changes=change))
            run.step()


CHANGES = {1: 7, 4: 2, 6: 12}


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (torch.arange(30), {"batch_size": 5}),
        (DataLoader(TensorDataset(torch.arange(30)), 5, shuffle=True), {}),
        (DataLoader(TensorDataset(torch.arange(30)), 5), {}),
        (Noisy(), {"batch_size": 5}),
        (Noisy(), {"batch_size": 5, "num_workers": 2}),
    ],
    ids=["tensor", "loader", "loader in order", "dataset", "workers"],
)
def test_each_sample_once_an_epoch_also_over_a_crash(
    tmp_path: Path, data: Any, options: dict[str, Any]
) -> None:
    whole = list(walk(tmp_path / "whole", data, CHANGES, **options))
    assert [len(batch) for batch in whole] == [5, 5, 7, 7, 6, 2, 2, 12, 12, 2]
    for epoch in (whole[:5], whole[5:]):
        ids = torch.cat([batch.reshape(len(batch), -1)[:, 0] for batch in epoch])
        assert sorted(ids.tolist()) == list(range(30))
    for fail_at in (4, 5, 7):  # steps 2, 5 and 8 end in a checkpoint
        home = tmp_path / str(fail_at)
        begun: list[torch.Tensor] = []
        with pytest.raises(RuntimeError, match="the process dies"):
            begun.extend(walk(home, data, CHANGES, fail_at=fail_at, **options))
        again = list(walk(home, data, CHANGES, **options))
        resumed_at = len(whole) - len(again)
        assert 0 < resumed_at <= fail_at
        assert all(torch.equal(a, b) for a, b in zip(again, whole[resumed_at:], strict=True))


def test_a_run_without_a_learning_rate_cannot_scale_it(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        for _ in run.batches(torch.arange(10), batch_size=5):
            if run.current_step == 0:
                change = {"data.batch_size": {"value": 2, "scale_lr": True}}
                run.boundary.mailbox.post(command(1, "set", changes=change))
            run.step()
    receipt = receipts(tmp_path)[1]
    assert receipt.state == "rejected"
    assert "cannot scale the learning rate: this run has no optimizer.lr" in receipt.reason


def test_dropping_incomplete_batches_limits_the_size(tmp_path: Path) -> None:
    sizes = []
    with start(tmp_path) as run:
        for batch in run.batches(torch.arange(10), batch_size=5, drop_last=True):
            sizes.append(len(batch[0]))
            if run.current_step == 0:
                for seq, size in enumerate((11, 10), start=1):
                    change = {"data.batch_size": size}
                    run.boundary.mailbox.post(command(seq, "set", changes=change))
            run.step()
    assert sizes == [5, 5], "a rest of the epoch that a larger size leaves is still taken"
    assert receipts(tmp_path)[1].reason.startswith("data.batch_size: must be at most 10")
    assert receipts(tmp_path)[2].state == "applied"


def test_a_built_in_name_brings_its_declaration(tmp_path: Path) -> None:
    seen: list[Any] = []
    with start(tmp_path) as run:
        clip = run.live("train.grad_clip", None)
        for _ in run.batches(torch.arange(6), batch_size=1):
            seen.append(clip.value)
            for seq, value in enumerate((0, 2, None), start=1):
                if run.current_step == seq:
                    change = {"train.grad_clip": value}
                    run.boundary.mailbox.post(command(seq, "set", changes=change))
            run.step()
    assert seen == [None, None, None, 2.0, None, None]
    assert receipts(tmp_path)[1].state == "rejected"
    (begun,) = [record for record in records(tmp_path) if isinstance(record, Started)]
    assert BUILT_IN["train.grad_clip"] in begun.parameters


def test_a_live_value_may_be_checked_by_its_program(tmp_path: Path) -> None:
    def even(value: int) -> None:
        if value % 2:
            raise ValueError("must be even")

    with start(tmp_path) as run:
        kernel = run.live("kernel", 2, check=even)
        for _ in run.batches(torch.arange(3), batch_size=1):
            for seq, value in enumerate((3, 4)):
                if run.current_step == seq:
                    change = {"kernel": value}
                    run.boundary.mailbox.post(command(seq + 1, "set", changes=change))
            run.step()
    assert kernel.value == 4
    assert receipts(tmp_path)[1].reason == "kernel: must be even"


@pytest.mark.parametrize(
    ("name", "default", "message"),
    [
        ("train.grad_clip", 0.0, "train.grad_clip: must be a number above 0, or null, not 0.0"),
        ("train.eval_every", "now", "train.eval_every: must be an interval"),
        ("mixup", None, "mixup: must be true or false, a number or a string, not a NoneType"),
    ],
)
def test_a_default_that_cannot_be_is_refused(
    tmp_path: Path, name: str, default: Any, message: str
) -> None:
    with start(tmp_path) as run, pytest.raises(InvalidInput, match=message):
        run.live(name, default)
