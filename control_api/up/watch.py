"""Watching a run to its end: a progress bar, and a line for each command."""

import time
from collections.abc import Iterator
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from control_api.lifecycle import SUCCEEDING
from control_api.settings import Settings
from control_api.up.client import Client, Troubled
from control_api.up.words import command_line, tracking_line
from midcourse.contract.names import Metric
from midcourse.contract.receipts import FINAL_STATES
from midcourse.contract.runs import ENDED, RunStatus

SECONDS = 0.5
TRACKING_SECONDS = 90.0
"""How long after a run's end to wait for what its tracker has to say of W&B."""


def watch(client: Client, run_id: str, console: Console, settings: Settings) -> dict[str, Any]:
    """Show a run until it has ended; a revert or undo is followed to its child.

    Returns:
        The run that ended, as the API shows it.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(run_id, total=None, facts="starting")
        told: set[tuple[str, int]] = set()
        evaluated = tracked = None
        while True:
            run = None
            for run in _states(client, run_id):
                for line in _fresh_commands(client, run_id, told):
                    progress.console.print(line, highlight=False, markup=False)
                if run["tracking"] is not None and tracking_line(run, settings) != tracked:
                    tracked = tracking_line(run, settings)
                    progress.console.print(f"W&B: {tracked}", highlight=False, markup=False)
                done = 0 if run["step"] is None else run["step"] + 1
                progress.update(
                    task,
                    description=f"{run_id} {run['status']}",
                    completed=done,
                    total=run["total_steps"],
                    facts=facts(run),
                )
                accuracy = run["metrics"].get(Metric.TEST_ACCURACY)
                if progress.disable and accuracy not in (None, evaluated):
                    evaluated = accuracy
                    console.print(f"step {run['step']}: {facts(run)}", highlight=False)
            assert run is not None
            child = _successor(client, run)
            if child is None:
                return run
            run_id = child


def _states(client: Client, run_id: str) -> Iterator[dict[str, Any]]:
    """The run, twice a second, until it has ended."""
    tracked_until = None
    while True:
        try:
            run = client.get(f"/runs/{run_id}")
        except (requests.RequestException, Troubled):
            time.sleep(SECONDS)
            continue
        yield run
        if run["status"] in ENDED:
            tracking = run["tracking"]
            tracked_until = tracked_until or time.monotonic() + TRACKING_SECONDS
            sending = tracking is not None and tracking["state"] == "running"
            if not sending or time.monotonic() > tracked_until:
                return
        time.sleep(SECONDS)


def _fresh_commands(client: Client, run_id: str, told: set[tuple[str, int]]) -> Iterator[str]:
    for command in client.get(f"/runs/{run_id}/commands")["commands"]:
        key = (run_id, command["seq"])
        if command["state"] in FINAL_STATES and key not in told:
            told.add(key)
            yield command_line(command)


def _successor(client: Client, run: dict[str, Any]) -> str | None:
    if run["status"] != RunStatus.SUPERSEDED:
        return None
    for command in client.get(f"/runs/{run['id']}/commands")["commands"]:
        if command["action"]["kind"] in SUCCEEDING and command["state"] == "applied":
            return str(command["action"]["child"])
    return None


def facts(run: dict[str, Any]) -> str:
    """Loss, accuracy, learning rate, speed and the time that is left, as far as they are known."""
    metrics = run["metrics"]
    parts = [
        ("loss", metrics.get(Metric.TRAIN_BATCH_LOSS), "{:.4f}"),
        ("acc", metrics.get(Metric.TEST_ACCURACY), "{:.4f}"),
        ("lr", metrics.get(Metric.LEARNING_RATE), "{:g}"),
        ("steps/s", run["steps_per_second"], "{:.0f}"),
        ("eta", run["eta_seconds"], "{:.0f} s"),
    ]
    return "  ".join(
        f"{name} {form.format(value) if isinstance(value, int | float) else value}"
        for name, value, form in parts
        if value is not None
    )
