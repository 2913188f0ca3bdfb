"""Every kind of change survives a crash to the same bits: swaps, frozen layers, an undo."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from steered import train
from trainers import Trainers, finished, logged_losses, receipts


def change(**changes: Any) -> dict[str, Any]:
    return {"kind": "set", "changes": {name.replace("__", "."): v for name, v in changes.items()}}


PLAN: dict[int, list[dict[str, Any]]] = {
    2: [change(optimizer__lr={"value": 2.0, "mode": "scale"}, model__dropout={"2": 0.4})],
    4: [change(optimizer__betas=[0.8, 0.99]) | {"at": {"step": 21}}],
    5: [change(optimizer__name={"value": "adamw", "state": "reset"}, optimizer__lr=0.01)],
    8: [change(model__frozen=["0"])],
    11: [change(data__batch_size={"value": 20, "scale_lr": True})],
    14: [{"kind": "reinitialise", "layers": ["3"]}],
    16: [change(model__frozen=[]), {"kind": "checkpoint"}],
    18: [change(scheduler__name="exponential_lr", scheduler__gamma=0.95)],
    23: [{"kind": "resume", "steps": 3}],
    26: [{"kind": "resume"}],
    28: [
        change(train__checkpoint_every="5 steps", optimizer__lr={"value": 0.02, "mode": "override"})
    ],
    31: [change(loss__name="multi_margin")],
    35: [{"kind": "undo", "child": "r2"}],
}


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        home = tmp_path_factory.mktemp("unattended")
        found = train(home, "r1", plan=PLAN)
        told = receipts(home, "r1")
        assert {seq: state for seq, (state, *_) in told.items()} == dict.fromkeys(
            range(1, 15), "applied"
        )
        assert told[2][1] == 21
        return {**found, "told": told}


@pytest.fixture
def trainers(tmp_path: Path) -> Iterator[Trainers]:
    made = Trainers(tmp_path, PLAN)
    yield made
    made.close()


def check(trainers: Trainers, unattended: dict[str, Any]) -> None:
    if trainers.result.exists():  # else it was killed when all was said
        found = trainers.outcome()
        assert found["hash"] == unattended["hash"]
        assert found["id"] == "r2"
    losses = logged_losses(trainers.folder, "r1") | logged_losses(trainers.folder, "r2")
    assert losses == unattended["losses"]
    assert receipts(trainers.folder, "r1") == unattended["told"]


@pytest.mark.parametrize("nth", range(1, 15))
def test_killed_at_each_command(nth: int, trainers: Trainers, unattended: dict[str, Any]) -> None:
    place = "journalled" if nth % 2 else "concluded"
    assert trainers.run(kill_at=f"{place}:{nth}") == -signal.SIGKILL
    assert trainers.run() == 0
    check(trainers, unattended)


@pytest.mark.parametrize("moment", range(4))
def test_killed_again_and_again(
    moment: int, trainers: Trainers, unattended: dict[str, Any]
) -> None:
    delays = random.Random(moment)
    for _ in range(3):
        code = trainers.run(kill_after=delays.uniform(0.05, 0.8))
        if code == 0 or finished(trainers.folder, "r2"):
            break
    else:
        assert trainers.run() == 0
    check(trainers, unattended)
