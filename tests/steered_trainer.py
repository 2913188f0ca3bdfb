"""The bundled trainer in this process, with commands posted at known steps."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from steered import hash_of
from tiny_run import command

import midcourse
from midcourse.session import Session
from trainer.build import Task, build
from trainer.configure import configure
from trainer.loop import train

FAKE = {"name": "fake", "train_size": 70, "test_size": 20, "image_size": 8, "batch_size": 16}
"""Five steps an epoch: four of 16 pictures and one of 6."""

Plan = Mapping[int, Sequence[Mapping[str, Any]]]
"""Step to changes, or to whole actions: each posted before the boundary of that step, once."""


class Killed(Exception):
    """The process is as good as dead."""


@dataclass
class Outcome:
    """What became of a training."""

    hash: str
    """Over weights, optimizer and schedule."""
    scaler: dict[str, float]
    sizes: list[int] = field(default_factory=list)
    """Pictures in each step that this process took."""


def steer(
    home: Path,
    sections: Mapping[str, Any],
    *,
    run_id: str = "r1",
    plan: Plan | None = None,
    kill_at: int | None = None,
    prepare: Callable[[Session, Task], None] | None = None,
) -> Outcome:
    """Train with the bundled trainer, from wherever the run stands to its end.

    Raises:
        Killed: before the boundary of step `kill_at`.
    """
    torch.set_num_threads(1)
    raw = dict(sections)
    raw["data"] = FAKE | dict(raw.get("data", {}))
    raw["train"] = {"device": "cpu", "epochs": 3, "checkpoint_every": "4 steps"} | dict(
        raw.get("train", {})
    )
    config = configure(raw)
    task = build(config, home / "data")
    numbers = iter(range(1, 1000))
    posts = [
        (step, command(next(numbers), action["kind"], run=run_id, **fields_of(action)))
        for step, several in sorted((plan or {}).items())
        for changes in several
        for action in [changes if "kind" in changes else {"kind": "set", "changes": dict(changes)}]
    ]
    outcome = Outcome("", {})
    session = midcourse.start(
        config.experiment,
        config.model_dump(mode="json"),
        seed=config.seed,
        checkpoint_every=config.train.checkpoint_every,
        keep=50,
        home=home,
        run_id=run_id,
    )
    take_step = session.step

    def step() -> None:
        for at, posted in posts:
            if at == session.current_step and posted.run == session.id:
                session.boundary.mailbox.post(posted)
        if session.current_step == kill_at:
            session.branch.writer.drain()
            raise Killed
        take_step()

    session.step = step  # type: ignore[method-assign]
    predict = task.model.forward

    def count(images: torch.Tensor) -> torch.Tensor:
        if task.model.training:
            outcome.sizes.append(len(images))
        result: torch.Tensor = predict(images)
        return result

    if not config.train.compile:
        task.model.forward = count  # type: ignore[method-assign]
    if prepare is not None:
        prepare(session, task)
    with session:
        train(session, task, config, tell=lambda line: None)
    outcome.hash = hash_of(task.model, task.optimizer, task.scheduler)
    outcome.scaler = session.tracked.objects["scaler"].state_dict()
    return outcome


def fields_of(action: Mapping[str, Any]) -> dict[str, Any]:
    """An action without its kind."""
    return {name: value for name, value in action.items() if name != "kind"}


def kill_and_restart(
    home: Path, sections: Mapping[str, Any], *, kill_at: int, plan: Plan | None = None
) -> Outcome:
    """Train, die before the boundary of a step, and train on from what is on the disk."""
    with pytest.raises(Killed):
        steer(home, sections, plan=plan, kill_at=kill_at)
    return steer(home, sections, plan=plan)


def origin(parent: str, checkpoint: str, **changes: Any) -> str:
    """The value of `MIDCOURSE_ORIGIN` for a fork."""
    return json.dumps(
        {"run": parent, "checkpoint": checkpoint, "changes": changes, "actor": "test"}
    )
