"""What training pays for W&B online: the server at work, gone, and hanging; ours and wandb's own.

The server is the tests' stand-in, a process beside. It is killed, or stopped, when the clock
starts. Two scalars are logged each step, and a table now and then.
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
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--server", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fault", choices=FAULTS, default="at work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.steps, given.warm_up, given.rounds = 60, 10, 1
    if given.inside:
        torch.set_num_threads(1)
        strike = _strike(given.server, FAULTS[given.fault])
        times = {"bare": _bare, "wandb": _wandb, "ours": _ours}[given.inside](given, strike)
        sys.stdout.write(json.dumps(times) + "\n")
        sys.stdout.flush()
        os._exit(0)  # what is still to be sent is not what is measured
    cases = [("bare", "at work"), *((way, fault) for fault in FAULTS for way in ("wandb", "ours"))]
    means: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    worst: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for _ in range(given.rounds):
        for case in cases:
            times = _measure(given, *case)
            means[case].append(1e3 * sum(times) / len(times))
            worst[case].append(1e3 * max(times))
    rows = [_row(case, means, worst) for case in cases]
    print_table("W&B online, and what becomes of the steps in an outage", rows)
    write_result(given.results, "tracking", rows, steps=given.steps, table_every=TABLE_EVERY)


def _row(
    case: tuple[str, str],
    means: dict[tuple[str, str], list[float]],
    worst: dict[tuple[str, str], list[float]],
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


def _bare(given: argparse.Namespace, strike: Callable[[], None]) -> list[float]:
    return _train(given, strike, lambda *_: None)


def _wandb(given: argparse.Namespace, strike: Callable[[], None]) -> list[float]:
    run = wandb.init(project="bench", settings=wandb.Settings(console="off", quiet=True))

    def log(step: int, loss: torch.Tensor, rate: float) -> None:
        run.log({"train/loss": loss.item(), "train/lr": rate}, step=step)
        if step % TABLE_EVERY == 0:
            run.log({"table": wandb.Table(["a", "b"], [[step, 1.0]])}, step=step)

    return _train(given, strike, log)


def _train(
    given: argparse.Namespace,
    strike: Callable[[], None],
    log: Callable[[int, torch.Tensor, float], None],
) -> list[float]:
    model = make_model()
    optimizer = make_optimizer(model)
    times: list[float] = []
    for step, (inputs, labels) in enumerate(batches(make_data(), given.warm_up + given.steps)):
        if step == given.warm_up:
            strike()
        begin = perf_counter()
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log(step, loss, optimizer.param_groups[0]["lr"])
        times.append(perf_counter() - begin)
    return times[given.warm_up :]


def _ours(given: argparse.Namespace, strike: Callable[[], None]) -> list[float]:
    model = make_model()
    optimizer = make_optimizer(model)
    times: list[float] = []
    run = midcourse.start("bench", checkpoint_every=None)
    run.track(model=model, optimizer=optimizer)
    epochs = -(-(given.warm_up + given.steps) * BATCH // SAMPLES) + 1
    for inputs, labels in run.batches(make_data(), batch_size=BATCH, epochs=epochs):
        step = run.current_step
        if step == 0:
            _await_tracker(run)
        if step == given.warm_up:
            strike()
        begin = perf_counter()
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"train/loss": loss, "train/lr": optimizer.param_groups[0]["lr"]})
        if step % TABLE_EVERY == 0:
            run.log({"table": Table(columns=["a", "b"], rows=[[step, 1.0]])})
        run.step()
        times.append(perf_counter() - begin)
        if len(times) == given.warm_up + given.steps:
            break
    tracker = run.branch.tracker._process
    if tracker is not None:  # it would try for minutes to reach the server
        tracker.kill()
    return times[given.warm_up :]


def _await_tracker(run: midcourse.Session) -> None:
    while (tracking := run.tracking) is None or tracking.url is None:
        sleep(0.05)


if __name__ == "__main__":
    main()
