"""A small training program, as a user would write it, with commands posted at known steps."""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import midcourse
from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command
from midcourse.session import Session

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, weight_decay=0.01),
}
SAMPLES = 300
BATCH_SIZE = 32
STEPS_PER_EPOCH = 10

Plan = Mapping[int, Sequence[dict[str, Any]]]
"""Step to actions: each is posted before the boundary of that step, as the link would. An `at`
beside the action's own keys schedules it."""


def hash_of(*objects: Any) -> str:
    """sha256 over every tensor and number in the state dicts; independent of Midcourse's own."""
    digest = hashlib.sha256()

    def feed(node: Any) -> None:
        if isinstance(node, torch.Tensor):
            digest.update(str((node.dtype, tuple(node.shape))).encode())
            digest.update(node.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(node, Mapping):
            for key in sorted(node, key=str):
                digest.update(str(key).encode())
                feed(node[key])
        elif isinstance(node, list | tuple):
            for item in node:
                feed(item)
        else:
            digest.update(repr(node).encode())

    for thing in objects:
        feed(thing.state_dict())
    return digest.hexdigest()


def train(
    home: Path,
    run_id: str,
    *,
    plan: Plan | None = None,
    optimizer: str = "sgd",
    epochs: int = 4,
    scheduled: bool = True,
    on_step: Callable[[Session, int], None] | None = None,
    checkpoint_every: str | None = "7 steps",
    keep: int = 3,
    watch: Callable[[Session], None] | None = None,
    replay: str | None = None,
    policies: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Train from wherever the run stands to its end.

    Returns:
        The hash over weights and optimizer state, the losses by step, and the id that ended.
    """
    torch.set_num_threads(1)
    losses: dict[int, float] = {}
    numbers = iter(range(1, 1000))
    with midcourse.start(
        "steered",
        {"optimizer": optimizer},
        seed=3,
        home=home,
        run_id=run_id,
        checkpoint_every=checkpoint_every,
        keep=keep,
        replay=replay,
        policies=policies,
    ) as run:
        data = torch.randn(SAMPLES, 12, generator=torch.Generator().manual_seed(1))
        labels = (data.sum(1) > 0).long()
        model = torch.nn.Sequential(
            torch.nn.Linear(12, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 2)
        )
        chosen = OPTIMIZERS[optimizer](model.parameters())
        schedule = torch.optim.lr_scheduler.StepLR(chosen, 9, 0.8) if scheduled else None
        loss_function = torch.nn.CrossEntropyLoss()
        run.track(model=model, optimizer=chosen, loss=loss_function)
        if schedule is not None:
            run.track(scheduler=schedule)
        noise = run.live("noise", 0.1, ge=0.0, le=1.0)
        # Commands are numbered by their place in the plan, so that a restart repeats the numbers.
        commands = [
            (
                step,
                Command(
                    run=run_id,
                    seq=next(numbers),
                    actor="test",
                    accepted_at=utc_now(),
                    action={key: value for key, value in action.items() if key != "at"},
                    at=action.get("at"),
                ),
            )
            for step, actions in sorted((plan or {}).items())
            for action in actions
        ]
        _deliver_again(run, commands)
        if watch is not None:
            watch(run)
        for inputs, targets in run.batches((data, labels), batch_size=BATCH_SIZE, epochs=epochs):
            loss = loss_function(model(inputs + noise.value * torch.randn_like(inputs)), targets)
            chosen.zero_grad()
            loss.backward()
            chosen.step()
            if schedule is not None:
                schedule.step()
            run.log({"train/loss": loss, "train/lr": chosen.param_groups[0]["lr"]})
            losses[run.current_step] = loss.item()
            for step, command in commands:
                if step == run.current_step:
                    run.boundary.mailbox.post(command)
            if on_step is not None:
                on_step(run, run.current_step)
            run.step()
        return {"hash": hash_of(model, chosen), "losses": losses, "id": run.id}


def _deliver_again(run: Session, commands: Sequence[tuple[int, Command]]) -> None:
    """Post what an earlier attempt did not come to deal with, as the control API would."""
    plan_redo = run.boundary.plan_redo

    def plan_and_post(*args: Any, **options: Any) -> None:
        plan_redo(*args, **options)
        for step, command in commands:
            if step < run.current_step and command.run == run.id:
                run.boundary.mailbox.post(command)

    run.boundary.plan_redo = plan_and_post  # type: ignore[method-assign]


def train_in_process(
    result: Path, kill_after: float | None, kill_at: str | None, **options: Any
) -> None:
    """`train` as a process of its own, which may kill itself.

    Args:
        result: where the outcome is written, as JSON.
        kill_after: seconds from the first step until SIGKILL.
        kill_at: a place in the code where SIGKILL strikes the third time it is passed, or the
            N-th with `:N` behind it:
            `journalled` (an intent is on disk, and has not acted), `concluded` (its outcome is on
            disk, and is not reported), `captured` (a checkpoint is ordered), `logged` (after a
            flush), `unwritten` (as `journalled`, with a disk so slow that no checkpoint was
            written).
    """
    os.environ["WANDB_MODE"] = "disabled"
    if kill_at is not None:
        _strike_at(kill_at)
    if kill_after is not None:

        def begin(run: Session) -> None:
            del run
            timer = threading.Timer(kill_after, _strike)
            timer.daemon = True
            timer.start()

        options["watch"] = begin
    result.write_text(json.dumps(train(**options)))


def _strike() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _strike_at(place: str) -> None:
    from midcourse.checkpoints.writing import WriterProcess
    from midcourse.journal import Journal
    from midcourse.recorder import Recorder

    place, _, count = place.partition(":")
    if place == "unwritten":
        WriterProcess.write = lambda *_, **__: None  # type: ignore[method-assign]
    owner, name = {
        "unwritten": (Journal, "intend"),
        "journalled": (Journal, "intend"),
        "captured": (WriterProcess, "write"),
        "concluded": (Journal, "conclude"),
        "logged": (Recorder, "flush"),
    }[place]
    original = getattr(owner, name)
    countdown = iter(range(int(count or 3) - 1, -1, -1))

    def striking(*args: Any, **options: Any) -> Any:
        outcome = original(*args, **options)
        if next(countdown, None) == 0:
            _strike()
        return outcome

    setattr(owner, name, striking)
