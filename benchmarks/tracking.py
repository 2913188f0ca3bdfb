"""What training pays for W&B online: the server at work, gone, and hanging; ours and wandb's own.

The server is the tests' stand-in, a process beside. It is killed, or stopped, when the clock
starts. Two scalars are logged each step, and a table now and then. Who waits for the server may do
so for very long: after a while the clock is stopped, in the middle of a step if need be.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from time import perf_counter, sleep

import torch
import wandb
from torch.nn.functional import cross_entropy

import midcourse
from benchmarks.harness import (
    ROOT,
    make_parser,
    paired_ratios,
    print_table,
    run_child,
    write_result,
)
from benchmarks.task import BATCH, SAMPLES, batches, make_data, make_model, make_optimizer
from midcourse.contract.media import Table

KEY = "key0123456789" * 4
TABLE_EVERY = 250
FAULTS = {"at work": None, "gone": signal.SIGKILL, "hanging": signal.SIGSTOP}
BARE = "PyTorch alone"
WAYS = {"bare": BARE, "wandb": "PyTorch + wandb.log", "ours": "PyTorch + Midcourse"}


def main() -> None:
    """Measure each way in each condition, in turns; print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--warm-up", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="the most that is measured")
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--server", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fault", choices=FAULTS, default="at work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.steps, given.warm_up, given.rounds = 60, 10, 1
    if given.inside:
        torch.set_num_threads(1)
        strike = _strike(given.server, FAULTS[given.fault])
        clock = Clock(given.warm_up, given.seconds, strike)
        {"bare": _bare, "wandb": _wandb, "ours": _ours}[given.inside](given, clock)
        clock.tell_and_end()
    cases = [("bare", "at work"), *((way, fault) for fault in FAULTS for way in ("wandb", "ours"))]
    means: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    worst: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    steps: dict[tuple[str, str], list[int]] = {case: [] for case in cases}
    for _ in range(given.rounds):
        for case in cases:
            times = _measure(given, *case)
            means[case].append(1e3 * sum(times) / len(times))
            worst[case].append(1e3 * max(times))
            steps[case].append(len(times))
    rows = [_row(case, means, worst, steps) for case in cases]
    print_table("W&B online, and what becomes of the steps in an outage", rows)
    write_result(given.results, "tracking", rows, seconds=given.seconds, table_every=TABLE_EVERY)


def _row(
    case: tuple[str, str],
    means: dict[tuple[str, str], list[float]],
    worst: dict[tuple[str, str], list[float]],
    steps: dict[tuple[str, str], list[int]],
) -> dict[str, object]:
    ratios = paired_ratios(means[case], means["bare", "at work"])
    return {
        "way": WAYS[case[0]],
        "server": "none" if case[0] == "bare" else case[1],
        "ms a step": statistics.median(means[case]),
        "x alone": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "longest step, ms": statistics.median(worst[case]),
        "steps": int(statistics.median(steps[case])),
        "rounds": len(ratios),
    }


def _measure(given: argparse.Namespace, way: str, fault: str) -> list[float]:
    with _server() as (url, pid):
        times: list[float] = run_child(
            "benchmarks.tracking",
            f"--inside={way}",
            f"--server={pid}",
            f"--fault={fault}",
            f"--steps={given.steps}",
            f"--seconds={given.seconds}",
            f"--warm-up={given.warm_up}",
            WANDB_MODE="online",
            WANDB_BASE_URL=url,
            WANDB_API_KEY=KEY,
        )
        return times


@contextmanager
def _server() -> Iterator[tuple[str, int]]:
    """The stand-in: its address and process id."""
    with subprocess.Popen(
        [sys.executable, "-m", "wandb_server", "--end-with-parent"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.kill()


def _strike(pid: int | None, number: signal.Signals | None) -> Callable[[], None]:
    def strike() -> None:
        if pid is not None and number is not None:
            os.kill(pid, number)

    return strike


class Clock:
    """Times steps after a warm-up, and stops after a while, whatever a step waits for."""

    def __init__(self, warm_up: int, seconds: float, strike: Callable[[], None]) -> None:
        """Nothing is timed yet.

        Args:
            warm_up: how many steps are not timed.
            seconds: how long is timed.
            strike: called when the timing begins.
        """
        self._warm_up = warm_up
        self._seconds = seconds
        self._strike = strike
        self._times: list[float] = []
        self._begun: float | None = None
        """When the step began that is under way."""

    def step(self, number: int) -> None:
        """A step begins, and the one before it has ended."""
        if number == self._warm_up:
            self._strike()
            timer = Timer(self._seconds, self.tell_and_end)
            timer.daemon = True
            timer.start()
        now = perf_counter()
        if self._begun is not None:
            self._times.append(now - self._begun)
        self._begun = now if number >= self._warm_up else None

    def tell_and_end(self) -> None:
        """Write the times, with what the step that is under way has taken so far; end here."""
        under_way = [] if self._begun is None else [perf_counter() - self._begun]
        sys.stdout.write(json.dumps([*self._times, *under_way]) + "\n")
        sys.stdout.flush()
        os._exit(0)  # what is still to be sent is not what is measured


def _bare(given: argparse.Namespace, clock: Clock) -> None:
    _train(given, clock, lambda *_: None)


def _wandb(given: argparse.Namespace, clock: Clock) -> None:
    run = wandb.init(project="bench", settings=wandb.Settings(console="off", quiet=True))

    def log(step: int, loss: torch.Tensor, rate: float) -> None:
        run.log({"train/loss": loss.item(), "train/lr": rate}, step=step)
        if step % TABLE_EVERY == 0:
            run.log({"table": wandb.Table(["a", "b"], [[step, 1.0]])}, step=step)

    _train(given, clock, log)


def _train(
    given: argparse.Namespace, clock: Clock, log: Callable[[int, torch.Tensor, float], None]
) -> None:
    model = make_model()
    optimizer = make_optimizer(model)
    for step, (inputs, labels) in enumerate(batches(make_data(), given.warm_up + given.steps)):
        clock.step(step)
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log(step, loss, optimizer.param_groups[0]["lr"])


def _ours(given: argparse.Namespace, clock: Clock) -> None:
    model = make_model()
    optimizer = make_optimizer(model)
    run = midcourse.start("bench", checkpoint_every=None)
    run.track(model=model, optimizer=optimizer)
    epochs = -(-(given.warm_up + given.steps) * BATCH // SAMPLES) + 1
    for inputs, labels in run.batches(make_data(), batch_size=BATCH, epochs=epochs):
        step = run.current_step
        if step == 0:
            _await_tracker(run)
        if step == given.warm_up + given.steps:
            break
        clock.step(step)
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"train/loss": loss, "train/lr": optimizer.param_groups[0]["lr"]})
        if step % TABLE_EVERY == 0:
            run.log({"table": Table(columns=["a", "b"], rows=[[step, 1.0]])})
        run.step()
    tracker = run.branch.tracker._process
    if tracker is not None:  # it would try for minutes to reach the server
        tracker.kill()


def _await_tracker(run: midcourse.Session) -> None:
    while (tracking := run.tracking) is None or tracking.url is None:
        sleep(0.05)


if __name__ == "__main__":
    main()
