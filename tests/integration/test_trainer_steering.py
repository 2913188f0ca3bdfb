"""The bundled trainer under command: each live value acts at its step, and to the bit."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from steered_trainer import kill_and_restart, origin, steer
from tiny_run import receipts, records
from torch import nn

from midcourse.contract.names import Metric
from midcourse.contract.records import Metrics, Started
from midcourse.session import Session
from trainer.build import Task
from trainer.compiling import compile_model
from trainer.tasks import AUGMENTATIONS

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)
    yield
    torch.use_deterministic_algorithms(False)


def evaluated(home: Path, run_id: str = "r1") -> list[int]:
    return sorted(
        {
            record.step
            for record in records(home, run_id)
            if isinstance(record, Metrics) and Metric.TEST_LOSS in record.values
        }
    )


def rates_of(home: Path) -> dict[int, float]:
    """The learning rate of each step."""
    return {
        record.step: float(record.values[Metric.LEARNING_RATE])
        for record in records(home)
        if isinstance(record, Metrics) and Metric.LEARNING_RATE in record.values
    }


def state_of(home: Path, seq: int) -> tuple[str, Any]:
    receipt = receipts(home)[seq]
    return receipt.state.value, receipt.reason


# -- batch size -------------------------------------------------------------------------------

SIZES = {
    1: [{"data.batch_size": 7}],
    3: [{"data.batch_size": 23}],  # 16 + 16 + 7 + 7 are taken: 24 are left, one of them over
    6: [{"data.batch_size": 16}],
    8: [{"data.batch_size": 64}, {"data.batch_size": 10}],
}


def test_the_batch_size_changes_at_its_step(tmp_path: Path) -> None:
    found = steer(tmp_path, {}, plan=SIZES)
    assert found.sizes == [16, 16, 7, 7, 23, 23, 23, 16, 8, *[10] * 7]
    assert receipts(tmp_path)[2].before == {"data.batch_size": 7}
    assert receipts(tmp_path)[2].after == {"data.batch_size": 23}


@pytest.mark.parametrize("placement", ["resident", "loader"])
@pytest.mark.parametrize("kill_at", [2, 5, 8, 9])
def test_killed_around_changes_of_the_batch_size(
    tmp_path: Path, kill_at: int, placement: str
) -> None:
    whole = steer(tmp_path / "whole", {}, plan=SIZES)
    sections = {"data": {"placement": placement, "workers": 0}}
    assert kill_and_restart(tmp_path, sections, plan=SIZES, kill_at=kill_at).hash == whole.hash


def test_a_fork_keeps_the_batch_size_of_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = steer(tmp_path, {}, plan={1: SIZES[1]})
    monkeypatch.setenv("MIDCOURSE_ORIGIN", origin("r1", "step-3"))
    child = steer(tmp_path, {}, run_id="r2")
    assert child.sizes == whole.sizes[4:]
    assert child.hash == whole.hash
    monkeypatch.setenv("MIDCOURSE_ORIGIN", origin("r1", "step-3", **{"data.batch_size": 24}))
    other = steer(tmp_path, {}, run_id="r3")
    assert other.sizes == [24, 24, 24, 22, 24, 24, 22]


def test_the_number_of_steps_follows_the_batch_size(tmp_path: Path) -> None:
    totals: list[int | None] = []

    def watch(session: Session, task: Task) -> None:
        take_step = session.step

        def step() -> None:
            totals.append(session.total_steps)
            take_step()
            totals.append(session.total_steps)

        session.step = step  # type: ignore[method-assign]

    found = steer(tmp_path, {}, plan={3: [{"data.batch_size": 2}]}, prepare=watch)
    assert len(found.sizes) == 4 + 3 + 35 + 35
    assert totals == [*[15] * 7, *[77] * (2 * 77 - 7)]
    assert evaluated(tmp_path)[-1] == 76


def test_the_learning_rate_can_go_with_the_batch_size(tmp_path: Path) -> None:
    scaled = {"data.batch_size": {"value": 4, "scale_lr": True}}
    sections = {"scheduler": {"name": "step_lr", "step_size": 2, "step_every": "1 step"}}
    steer(tmp_path, sections, plan={2: [scaled], 4: [{"data.batch_size": 8}]})
    first, second = receipts(tmp_path).values()
    assert first.before == {"data.batch_size": 16, "optimizer.lr": 0.05}
    assert first.after == {"data.batch_size": 4, "optimizer.lr": 0.0125}
    assert second.after == {"data.batch_size": 8}
    rates = rates_of(tmp_path)
    assert [rates[step] for step in (1, 2, 3, 4)] == pytest.approx([0.05, 0.005, 0.00125, 0.000125])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"data.batch_size": {"value": 4, "scale_lr": True}, "optimizer.lr": 0.1},
            "data.batch_size: with scale_lr does not go together with optimizer.lr",
        ),
        ({"data.batch_size": 0}, "data.batch_size: must be a whole number at least 1"),
        ({"data.batch_size": 2.5}, "data.batch_size: must be a whole number"),
        ({"data.batch_size": {"value": 4, "scale": True}}, "data.batch_size: has no 'scale'"),
        ({"data.batch_size": {"value": 4, "scale_lr": 1}}, "scale_lr must be one of false, true"),
    ],
)
def test_a_batch_size_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    found = steer(tmp_path, {"train": {"epochs": 1}}, plan={1: [changes]})
    state, said = state_of(tmp_path, 1)
    assert state == "rejected"
    assert reason in said
    assert found.sizes == [16, 16, 16, 16, 6]


# -- where the pictures lie -------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_both_placements_train_to_the_same_bits_augmented_on_the_device(
    tmp_path: Path, workers: int
) -> None:
    sections: dict[str, Any] = {"data": {"augmentation": {"shift": 2, "flip": True}}}
    resident = steer(tmp_path / "resident", sections, plan=SIZES)
    loader = {"placement": "loader", "workers": workers}
    loaded = steer(tmp_path / "loaded", {"data": sections["data"] | loader}, plan=SIZES)
    assert loaded.sizes == resident.sizes
    assert loaded.hash == resident.hash


# -- values that the loop reads ---------------------------------------------------------------


def test_augmentations_are_live_also_those_that_are_not_configured(tmp_path: Path) -> None:
    plain = steer(tmp_path / "plain", {})
    configured = steer(
        tmp_path / "configured", {"data": {"augmentation": {"shift": 0, "flip": False}}}
    )
    assert configured.hash == plain.hash, "neutral values draw nothing and change nothing"
    changes = {"data.augmentation.shift": 1, "data.augmentation.flip": True}
    changed = steer(tmp_path / "changed", {}, plan={6: [changes]})
    assert changed.hash != plain.hash
    assert receipts(tmp_path / "changed")[1].before == {
        "data.augmentation.shift": 0,
        "data.augmentation.flip": False,
    }
    back = [{"data.augmentation.shift": 0, "data.augmentation.flip": False}]
    on = steer(tmp_path / "on", {"data": {"augmentation": {"shift": 1, "flip": True}}})
    off = steer(tmp_path / "off", {}, plan={0: [changes], 6: back})
    assert len({plain.hash, changed.hash, on.hash, off.hash}) == 4
    assert kill_and_restart(tmp_path, {}, plan={6: [changes]}, kill_at=9).hash == changed.hash


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data.augmentation.shift": 513}, "at most 512, not 513"),
        ({"data.augmentation.shift": True}, "must be a whole number"),
        ({"data.augmentation.flip": 1}, "must be true or false"),
        ({"data.augmentation.spin": 1}, "is not a live parameter"),
        ({"data.augmentation.odd": 4}, "data.augmentation.odd: must be odd"),
        ({"train.grad_clip": 0}, "train.grad_clip: must be a number above 0, or null"),
        ({"train.eval_every": "soon"}, "train.eval_every: must be an interval"),
        ({"train.eval_every": None}, "train.eval_every: must be an interval"),
        ({"train.precision": "fp8"}, "train.precision: must be one of fp32, bf16, fp16"),
        ({"scheduler.step_every": 3}, "scheduler.step_every: must be an interval"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_the_run_goes_on(
    tmp_path: Path, changes: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in ("_entries", "_aliases"):
        monkeypatch.setattr(AUGMENTATIONS, known, dict(getattr(AUGMENTATIONS, known)))

    @AUGMENTATIONS.register("odd")
    def odd(number: int = 1) -> Any:
        if number % 2 == 0:
            raise ValueError("must be odd")
        return lambda images: images

    steer(tmp_path, {"train": {"epochs": 1}}, plan={1: [changes]})
    state, said = state_of(tmp_path, 1)
    assert state == "rejected"
    assert reason in said


def test_an_augmentation_without_a_neutral_value_takes_part_only_if_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in ("_entries", "_aliases"):
        monkeypatch.setattr(AUGMENTATIONS, known, dict(getattr(AUGMENTATIONS, known)))

    @AUGMENTATIONS.register("grey")
    def grey(level: float) -> Any:
        return lambda images: (images * level).to(torch.uint8)

    steer(tmp_path / "without", {"train": {"epochs": 1}})
    (begun,) = [r for r in records(tmp_path / "without") if isinstance(r, Started)]
    assert "data.augmentation.grey" not in begun.values
    assert {"data.augmentation.flip", "data.augmentation.shift"} <= begun.values.keys()
    sections = {"data": {"augmentation": {"grey": 1}}, "train": {"epochs": 1}}
    steer(tmp_path / "with", sections, plan={1: [{"data.augmentation.grey": 0.5}]})
    assert receipts(tmp_path / "with")[1].before == {"data.augmentation.grey": 1.0}


def test_the_gradient_clip_is_live_and_can_be_lifted(tmp_path: Path) -> None:
    free = steer(tmp_path / "free", {})
    clipped = steer(tmp_path / "clipped", {"train": {"grad_clip": 0.01}})
    assert clipped.hash != free.hash
    wide = {"train": {"grad_clip": 1e9}}  # no gradient is as large
    lifted = steer(tmp_path / "lifted", wide, plan={4: [{"train.grad_clip": None}]})
    assert lifted.hash == free.hash
    steered = steer(tmp_path / "steered", {}, plan={4: [{"train.grad_clip": 0.01}]})
    assert steered.hash not in (free.hash, clipped.hash)


def test_evaluations_follow_their_interval(tmp_path: Path) -> None:
    steer(tmp_path, {}, plan={5: [{"train.eval_every": "4 steps"}]})
    assert evaluated(tmp_path) == [4, 7, 11, 14]


def test_the_schedule_s_beat_is_live(tmp_path: Path) -> None:
    sections = {"scheduler": {"name": "exponential_lr", "gamma": 0.5}}
    plan = {
        6: [{"scheduler.step_every": "2 steps"}],
        10: [{"scheduler.step_every": None}],
    }
    steer(tmp_path, sections, plan=plan)
    rates = rates_of(tmp_path)
    halvings = [0.05 / rates[step] for step in range(15)]
    assert halvings == [1, 1, 1, 1, 1, 2, 2, 2, 4, 4, 8, 8, 8, 8, 8]


# -- precision --------------------------------------------------------------------------------

PRECISIONS = {
    3: [{"train.precision": "fp16"}],
    7: [{"train.precision": "bf16", "train.grad_clip": 0.5}],
    9: [{"train.precision": "fp16"}],
    12: [{"train.precision": "fp32"}],
}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kill_at", [6, 10])
def test_killed_in_half_precision(tmp_path: Path, precision: str, kill_at: int) -> None:
    sections = {"train": {"precision": precision, "grad_clip": 1.0}}
    whole = steer(tmp_path / "whole", sections)
    again = kill_and_restart(tmp_path, sections, kill_at=kill_at)
    assert again.hash == whole.hash
    assert again.scaler == whole.scaler
    assert whole.hash != steer(tmp_path / "full", {"train": {"grad_clip": 1.0}}).hash


@pytest.mark.parametrize("kill_at", [5, 8, 10])
def test_killed_around_changes_of_the_precision(tmp_path: Path, kill_at: int) -> None:
    whole = steer(tmp_path / "whole", {}, plan=PRECISIONS)
    again = kill_and_restart(tmp_path, {}, plan=PRECISIONS, kill_at=kill_at)
    assert (again.hash, again.scaler) == (whole.hash, whole.scaler)


def test_a_step_whose_gradient_overflows_is_a_step_that_moves_nothing(tmp_path: Path) -> None:
    """The first scales are too large for this one; the schedule steps, and nothing warns."""
    weights: list[torch.Tensor] = []

    def overflow(session: Session, task: Task) -> None:
        take_step = session.step

        def step() -> None:
            weights.append(next(task.model.parameters()).detach().clone())
            take_step()

        session.step = step  # type: ignore[method-assign]
        inner = task.loss.forward
        task.loss.forward = lambda *given: (
            inner(*given)
            * (  # type: ignore[method-assign]
                1e38 if session.current_step < 2 else 1.0
            )
        )

    scheduler = {"name": "exponential_lr", "gamma": 0.5, "step_every": "1 step"}
    sections = {"scheduler": scheduler, "train": {"precision": "fp16", "grad_clip": 1.0}}
    found = steer(tmp_path, sections, prepare=overflow)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert all(weight.isfinite().all() for weight in weights)
    assert found.scaler["scale"] == 65536.0 / 4
    rates = rates_of(tmp_path)
    assert [rates[step] for step in (0, 1, 2)] == [0.05, 0.025, 0.0125]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_model_of_which_nothing_trains_goes_on_unchanged(tmp_path: Path, precision: str) -> None:
    def freeze(session: Session, task: Task) -> None:
        for weight in task.model.parameters():
            weight.requires_grad_(False)

    found = steer(tmp_path, {"train": {"precision": precision}}, prepare=freeze)
    assert len(found.sizes) == 15


# -- layout and compiler ----------------------------------------------------------------------


def test_killed_with_channels_last(tmp_path: Path) -> None:
    sections = {"train": {"channels_last": True}, "data": {"channels": 3}}
    layouts: list[bool] = []

    def watch(session: Session, task: Task) -> None:
        def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            last = inputs[0].is_contiguous(memory_format=torch.channels_last)
            layouts.append(last and not inputs[0].is_contiguous())

        convolution = next(m for m in task.model.modules() if isinstance(m, nn.Conv2d))
        convolution.register_forward_pre_hook(note)

    whole = steer(tmp_path / "whole", sections, prepare=watch)
    assert layouts
    assert all(layouts)
    assert kill_and_restart(tmp_path, sections, kill_at=9).hash == whole.hash


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler here; torch.compile needs one")
def test_a_compiled_model_has_the_names_of_an_uncompiled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"train": {"compile": True, "epochs": 2}}
    plain = {"train": {"epochs": 2}}
    whole = steer(tmp_path, sections)
    assert kill_and_restart(tmp_path / "killed", sections, kill_at=6).hash == whole.hash
    names: list[str] = []
    monkeypatch.setenv("MIDCOURSE_ORIGIN", origin("r1", "step-3"))
    steer(
        tmp_path,
        plain,
        run_id="r2",
        prepare=lambda session, task: names.extend(task.model.state_dict()),
    )
    assert names == ["0.weight", "0.bias", "3.weight", "3.bias", "8.weight", "8.bias"]


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler here; torch.compile needs one")
def test_compiling_is_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    compile_model(model, torch.device("cpu"))
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    reference = nn.functional.linear(torch.ones(1, 2), model[0].weight, model[0].bias)
    torch.testing.assert_close(model(torch.ones(1, 2)), reference)


# -- undo -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"data.batch_size": 7},
        {"data.batch_size": {"value": 64, "scale_lr": True}},
        {"train.precision": "fp16", "data.augmentation.shift": 2, "train.grad_clip": 0.1},
        {"scheduler.name": "exponential_lr", "scheduler.gamma": 0.5, "loss.name": "mse"},
    ],
)
@pytest.mark.parametrize("placement", ["resident", "loader"])
def test_a_change_that_is_undone_never_was(
    tmp_path: Path, change: dict[str, Any], placement: str
) -> None:
    sections = {"data": {"placement": placement, "workers": 0}}
    plan = {5: [change], 7: [{"kind": "undo", "child": "r1-undone"}]}
    never = steer(tmp_path / "never", sections)
    undone = steer(tmp_path / "undone", sections, plan=plan)
    assert receipts(tmp_path / "undone")[1].state == "applied"
    assert (undone.hash, undone.scaler) == (never.hash, never.scaler)
    assert len(undone.sizes) > len(never.sizes)


# -- swaps ------------------------------------------------------------------------------------

SWAPS = {
    2: [{"scheduler.name": "exponential_lr", "scheduler.gamma": 0.9, "train.precision": "fp16"}],
    4: [{"optimizer.name": "adamw", "optimizer.lr": 0.002}],
    6: [{"scheduler.name": "one_cycle_lr", "data.batch_size": 10}],
    8: [{"loss.name": "multi_margin"}],
    11: [{"scheduler.name": "reduce_lr_on_plateau", "scheduler.patience": 0}],
    13: [{"scheduler.name": "constant", "loss.name": "cross_entropy"}],
}


@pytest.mark.parametrize("kill_at", [3, 7, 9, 12, 15])
def test_killed_around_swaps_of_optimizer_schedule_and_loss(tmp_path: Path, kill_at: int) -> None:
    whole = steer(tmp_path / "whole", {}, plan=SWAPS)
    told = receipts(tmp_path / "whole")
    assert {seq: told[seq].state.value for seq in told} == dict.fromkeys(range(1, 7), "applied")
    again = kill_and_restart(tmp_path, {}, plan=SWAPS, kill_at=kill_at)
    assert (again.hash, again.scaler) == (whole.hash, whole.scaler)


def test_a_schedule_that_is_swapped_in_steps_at_its_own_beat(tmp_path: Path) -> None:
    """One cycle steps each step and lasts as long as the run; cosine annealing each epoch."""
    plan = {4: [{"scheduler.name": "one_cycle_lr"}], 9: [{"scheduler.name": "cosine_annealing_lr"}]}
    lengths: list[int] = []

    def watch(session: Session, task: Task) -> None:
        take_step = session.step

        def step() -> None:
            take_step()
            schedule: Any = task.scheduler
            if session.current_step == 5:
                lengths.append(schedule.total_steps)
            if session.current_step == 10:
                lengths.append(schedule.T_max)

        session.step = step  # type: ignore[method-assign]

    steer(tmp_path, {}, plan=plan, prepare=watch)
    assert lengths == [10, 1]
    rates = rates_of(tmp_path)
    assert len({rates[step] for step in range(5)}) == 1
    assert len({rates[step] for step in range(5, 10)}) == 5
    assert len({rates[step] for step in range(10, 15)}) == 1
