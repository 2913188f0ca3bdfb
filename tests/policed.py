"""A small training program with policies, whose weights a high learning rate spoils."""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import steered
import torch

import midcourse
from midcourse.contract.commands import Command
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.journal import Journal
from midcourse.session import Session

RATE = 0.08
NON_FINITE = {"kind": "non_finite", "metric": "train/loss"}


def train(
    home: Path,
    run_id: str,
    *,
    policies: Sequence[Any] = (),
    spoil: dict[int, float] | None = None,
    checkpoint_every: str | None = "1 step",
    keep: int = 1,
    epochs: int = 4,
    on_step: Callable[[Session, int], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train from wherever the run stands to its end.

    Args:
        home: the folder of all runs.
        run_id: the run to begin or to go on with.
        policies: as `midcourse.start` takes them.
        spoil: step to rate: an update at that step with a higher rate leaves NaN in the weights.
            The loss of that step is finite still; the next one is not.
        checkpoint_every: as `midcourse.start` takes it.
        keep: as `midcourse.start` takes it.
        epochs: of ten steps each.
        on_step: called before each boundary.
        **options: more for `midcourse.start`.

    Returns:
        The hash over weights and optimizer state, the losses by step, and the id that ended.
    """
    torch.set_num_threads(1)
    losses: dict[int, float] = {}
    with midcourse.start(
        "policed",
        seed=3,
        home=home,
        run_id=run_id,
        checkpoint_every=checkpoint_every,
        keep=keep,
        policies=policies,
        **options,
    ) as run:
        data = torch.randn(steered.SAMPLES, 12, generator=torch.Generator().manual_seed(1))
        labels = (data.sum(1) > 0).long()
        model = torch.nn.Sequential(
            torch.nn.Linear(12, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 2)
        )
        model.register_buffer("mask", torch.full((2,), float("-inf")))
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 9, 0.9)
        loss_function = torch.nn.CrossEntropyLoss()
        run.track(model=model, optimizer=optimizer, scheduler=schedule, loss=loss_function)
        for inputs, targets in run.batches((data, labels), batch_size=32, epochs=epochs):
            loss = loss_function(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate = optimizer.param_groups[0]["lr"]
            if rate > (spoil or {}).get(run.current_step, float("inf")):
                with torch.no_grad():
                    model[0].weight[0, 0] = float("nan")
            schedule.step()
            run.log({"train/loss": loss, "train/lr": rate})
            losses[run.current_step] = loss.item()
            if on_step is not None:
                on_step(run, run.current_step)
            run.step()
        return {"hash": steered.hash_of(model, optimizer), "losses": losses, "id": run.id}


def line_of(home: Path, run_id: str) -> list[str]:
    """The runs that took each other's place, from the first on."""
    line = [run_id]
    while (successor := Journal(RunPaths(home, line[-1]).journal).successor()) is not None:
        line.append(successor)
    return line


def concluded(home: Path, run_id: str) -> list[tuple[Command, Receipt]]:
    """What was dealt with along a line of runs, but for the first command of each child."""
    return [
        (command, receipt)
        for run in line_of(home, run_id)
        for command, receipt in Journal(RunPaths(home, run).journal).concluded()
        if command.action.kind != "fork"
    ]


def deeds(home: Path, run_id: str) -> list[tuple[str, int | None, str, Any]]:
    """Actor, step, state and action of each, without the ids that are made up anew each time."""
    return [
        (
            command.actor,
            receipt.step,
            receipt.state.value,
            {k: v for k, v in command.action.model_dump().items() if k != "child"},
        )
        for command, receipt in concluded(home, run_id)
    ]


def applied(home: Path, run_id: str) -> list[Command]:
    """The commands that acted along a line of runs."""
    return [
        command
        for command, receipt in concluded(home, run_id)
        if receipt.state is CommandState.APPLIED
    ]


def train_in_process(result: Path, kill_at: str | None, options: dict[str, Any]) -> None:
    """`train` as a process of its own, which may kill itself; see `steered.train_in_process`."""
    os.environ["WANDB_MODE"] = "disabled"
    if kill_at is not None:
        steered._strike_at(kill_at)
    result.write_text(json.dumps(train(**options)))


def run_process(home: Path, kill_at: str | None = None, **options: Any) -> int:
    """Have `train` run in a process of its own; the outcome is in `result.json` of the home."""
    context = multiprocessing.get_context("forkserver")
    # The server takes its path from here only; without it each process would load torch anew.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    context.set_forkserver_preload(["steered_warm"])
    process = context.Process(
        target=train_in_process,
        args=(home / "result.json", kill_at, {"home": home, "run_id": "r1", **options}),
    )
    process.start()
    process.join(120)
    if process.is_alive():  # it is paused, say, and nobody is there to resume it
        process.kill()
        process.join()
        raise AssertionError("the process did not end")
    code = process.exitcode
    process.close()
    assert code is not None
    return code
