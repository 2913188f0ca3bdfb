"""What per-layer statistics each step cost, beside `wandb.watch(log="gradients", log_freq=1)`.

Ours are the norms of gradient, weights and update of each parameter. The candidates take turns in
one process each, a block of steps with and a block without, so that the cost is a difference of
neighbours.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import midcourse
from benchmarks.harness import make_parser, print_table, run_child, spread, write_result
from benchmarks.task import batches, make_data, make_model, make_optimizer
from midcourse.statistics import Watch

TARGET = 0.3
_BLOCK = 20

Switch = Callable[[bool], None]


def main() -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.blocks, given.rounds = 2, 1
    if given.inside:
        torch.set_num_threads(1)
        sys.stdout.write(json.dumps(_measure(WAYS[given.inside], given.blocks)) + "\n")
        return
    costs: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(given.rounds):
        for name in WAYS:
            costs[name].append(
                run_child(
                    "benchmarks.layer_statistics", f"--inside={name}", f"--blocks={given.blocks}"
                )
            )
    rows = [
        {
            "way": WORDS[name],
            "us a step": statistics.median(costs[name]),
            "x wandb.watch": statistics.median(
                one / other for one, other in zip(costs[name], costs["wandb"], strict=True)
            ),
        }
        for name in WAYS
    ]
    print_table(f"six parameters, each step; target {TARGET} x wandb.watch", rows)
    write_result(
        given.results,
        "layer_statistics",
        rows,
        target={"Midcourse x wandb.watch": TARGET},
        spread={name: spread(costs[name]) for name in WAYS},
    )


def _measure(way: Callable[[torch.nn.Module], Any], blocks: int) -> float:
    """Microseconds that a step takes longer with the statistics."""
    model = make_model()
    optimizer = make_optimizer(model)
    source = batches(make_data(), (2 * blocks + 2) * _BLOCK)
    extra = []
    with way(model) as (switch, logged):
        for block in range(-1, blocks):  # the first one warms up
            seconds = {}
            for on in (True, False) if block % 2 else (False, True):
                switch(on)
                begin = time.perf_counter()
                for _ in range(_BLOCK):
                    inputs, labels = next(source)
                    loss = cross_entropy(model(inputs), labels)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    logged(on)
                seconds[on] = time.perf_counter() - begin
            if block >= 0:
                extra.append((seconds[True] - seconds[False]) / _BLOCK * 1e6)
        switch(False)
    return statistics.median(extra)


@contextmanager
def _midcourse(model: torch.nn.Module) -> Iterator[tuple[Switch, Switch]]:
    is_on = [False]
    with (
        TemporaryDirectory() as home,
        midcourse.start("bench", home=home, checkpoint_every=None) as run,
    ):
        run.begin()
        record = run.branch.recorder.row
        watch = Watch(
            model,
            lambda names, values: record(run.current_step, names, values),
            lambda: is_on[0],
        )

        def switch(on: bool) -> None:
            is_on[0] = on

        yield switch, lambda _: run.step()
        watch.close()


@contextmanager
def _wandb(model: torch.nn.Module) -> Iterator[tuple[Switch, Switch]]:
    import wandb

    with wandb.init(project="bench", mode="offline") as run:

        def switch(on: bool) -> None:
            if on:
                run.watch(model, log="gradients", log_freq=1)
            else:
                run.unwatch(model)

        # Its histograms go out with the next call of log. Only that call is left out of the steps
        # without, which have nothing to send.
        yield switch, lambda on: run.log({}) if on else None


WAYS = {"midcourse": _midcourse, "wandb": _wandb}
WORDS = {
    "midcourse": "Midcourse: gradient, weight and update norms",
    "wandb": 'wandb.watch(log="gradients", log_freq=1)',
}

if __name__ == "__main__":
    main()
