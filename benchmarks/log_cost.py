"""What `run.log` and the step boundary cost the loop when nothing waits at it."""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import torch

import midcourse
from benchmarks.harness import child_environment, make_parser, print_table, run_child, write_result

TARGETS = {"log, ten device scalars": 5.0, "step boundary, nothing to do": 2.0}
_YARDSTICK = "for comparison: torch.stack of the ten"
_CALLS = 200
"""In a row: fewer than what the recorder's thread finds in a quarter of a second."""


def main() -> None:
    """Measure in a child, print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    rounds = 5 if given.quick else given.rounds
    if given.inside:
        import json

        sys.stdout.write(json.dumps(measure(rounds)) + "\n")
        return
    rows = run_child("benchmarks.log_cost", "--inside", f"--rounds={rounds}", WANDB_MODE="disabled")
    print_table(f"microseconds a call, {rounds} rounds of {_CALLS} calls", rows)
    write_result(given.results, "log_cost", rows, targets_us=TARGETS)


def measure(rounds: int) -> list[dict[str, Any]]:
    """Time calls in a session that is connected with nothing."""
    torch.set_num_threads(1)
    scalars = {f"train/value_{index}": torch.rand(()) for index in range(10)}
    graph = torch.rand((), requires_grad=True) * 2
    model = torch.nn.Linear(2, 2)
    with (
        TemporaryDirectory() as home,
        midcourse.start("bench", home=home, checkpoint_every=None) as run,
    ):
        run.track(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
        next(iter(run.batches(torch.arange(8), batch_size=4, epochs=1)))
        ten = tuple(scalars.values())
        cases: dict[str, Callable[[], Any]] = {
            "log, ten device scalars": lambda: run.log(scalars),
            "log, ten, one of them with a graph": lambda: run.log({**scalars, "loss": graph}),
            "log, one device scalar and one float": lambda: run.log({"loss": graph, "lr": 0.1}),
            "log, ten floats": lambda: run.log(dict.fromkeys(scalars, 0.5)),
            "step boundary, nothing to do": run.step,
            _YARDSTICK: lambda: torch.stack(ten),
            "for comparison: ten clones": lambda: [each.clone() for each in ten],
        }
        times = _take_turns(cases, rounds)
    return [
        {
            "call": name,
            "median us": statistics.median(found),
            "least us": min(found),
            "x stack": statistics.median(
                ours / stack for ours, stack in zip(found, times[_YARDSTICK], strict=True)
            ),
            "target us": TARGETS.get(name),
        }
        for name, found in times.items()
    ]


def _take_turns(cases: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Microseconds a call, by case, one for each round."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, function in cases.items():
            function()  # what the case before it left in the caches is not its cost
            begin = time.perf_counter()
            for _ in range(_CALLS):
                function()
            times[name].append((time.perf_counter() - begin) / _CALLS * 1e6)
        time.sleep(0.02)  # for the recorder's thread, which is not what is measured
    return times


if __name__ == "__main__":
    os.environ |= {} if "WANDB_MODE" in os.environ else child_environment()
    main()
