"""How long the loop stands still for a checkpoint: ours, torch.save, and torch's async_save.

All keep the same model and Adam's state of it. The yardstick is the memory copy of the same bytes,
into memory that was used before; the first checkpoint of a process is shown by itself, beside a
copy into fresh memory, as the kernel must find and clear the pages then.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

import midcourse
from benchmarks.harness import make_parser, print_table, run_child, write_result
from midcourse.contract.checkpoints import CheckpointReason

TARGET = 1.3
_PAUSE = 0.2
"""Between checkpoints, and at least until the last one is written: no queue builds up."""

Stall = Callable[[], float]


def main() -> None:
    """Measure each way in a child, the rounds interleaved; print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--megabytes", type=int, default=150)
    parser.add_argument("--times", type=int, default=7, help="checkpoints in a process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.megabytes, given.times, given.rounds = 2, 3, 1
    if given.inside:
        torch.set_num_threads(1)
        sys.stdout.write(json.dumps(WAYS[given.inside](given.megabytes, given.times)) + "\n")
        return
    later: dict[str, list[float]] = {name: [] for name in WAYS}
    first: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(given.rounds):
        for name in WAYS:
            times = run_child(
                "benchmarks.checkpoint_stall",
                f"--inside={name}",
                f"--megabytes={given.megabytes}",
                f"--times={given.times}",
                WANDB_MODE="disabled",
            )
            first[name].append(times[0] * 1e3)
            later[name].append(statistics.median(times[1:]) * 1e3)
    rows = [
        {
            "way": WORDS[name],
            "ms": statistics.median(later[name]),
            "x copy": statistics.median(
                one / copy for one, copy in zip(later[name], later["copy"], strict=True)
            ),
            "first, ms": statistics.median(first[name]),
            "first, x fresh copy": statistics.median(
                one / copy for one, copy in zip(first[name], first["copy"], strict=True)
            ),
        }
        for name in WAYS
    ]
    print_table(
        f"stall for {given.megabytes} MB; target {TARGET} x the memory copy (but for the first)",
        rows,
    )
    write_result(
        given.results,
        "checkpoint_stall",
        rows,
        megabytes=given.megabytes,
        target={"Midcourse x copy": TARGET},
        first_ms=first,
        later_ms=later,
    )


def _make(
    megabytes: int, begin: Callable[[nn.Module, torch.optim.Optimizer], object] = lambda *_: None
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model that makes so much state together with Adam's two moments.

    `begin` is called before the first step, with which the moments come into being.
    """
    weights = megabytes * 1_000_000 // 4 // 3
    width = max(16, int((weights / 24) ** 0.5))
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(24)))
    optimizer = torch.optim.Adam(model.parameters())
    begin(model, optimizer)
    for each in model.parameters():
        each.grad = torch.ones_like(each)
    optimizer.step()
    return model, optimizer


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    moments = [
        each
        for state in optimizer.state.values()
        for each in state.values()
        if isinstance(each, Tensor)
    ]
    return [*(each.detach() for each in model.parameters()), *moments]


def _repeat(times: int, stall: Stall, settle: Callable[[], object] = lambda: None) -> list[float]:
    found = []
    for _ in range(times):
        found.append(stall())
        settle()
        time.sleep(_PAUSE)
    return found


def _copy(megabytes: int, times: int) -> list[float]:
    sources = _tensors(*_make(megabytes))
    targets = [torch.empty_like(each) for each in sources]

    def stall() -> float:
        begin = time.perf_counter()
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)
        return time.perf_counter() - begin

    return _repeat(times, stall)


def _midcourse(megabytes: int, times: int) -> list[float]:
    with (
        TemporaryDirectory(dir=".") as home,
        midcourse.start("bench", home=home, checkpoint_every=None, keep=1) as run,
    ):

        def begin(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            run.track(model=model, optimizer=optimizer)
            run.begin()
            run.branch.writer.drain()

        _make(megabytes, begin)
        last: list[Any] = []

        def stall() -> float:
            run.step()
            begin = time.perf_counter()
            last[:] = [run.take_checkpoint(CheckpointReason.SCHEDULE)]
            return time.perf_counter() - begin

        return _repeat(times, stall, lambda: last[0].result())


def _torch_save(megabytes: int, times: int) -> list[float]:
    model, optimizer = _make(megabytes)

    def stall() -> float:
        begin = time.perf_counter()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, "checkpoint.pt")
        return time.perf_counter() - begin

    return _repeat(times, stall)


def _async_save(megabytes: int, times: int) -> list[float]:
    import logging
    import warnings

    import torch.distributed as dist
    from torch.distributed.checkpoint import FileSystemWriter, async_save
    from torch.distributed.checkpoint.state_dict import get_state_dict

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    store = dist.FileStore(str(Path("store").absolute()), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    model, optimizer = _make(megabytes)
    numbers = iter(range(times))
    last: list[Any] = []

    def stall() -> float:
        begin = time.perf_counter()
        weights, moments = get_state_dict(model, optimizer)
        writer = FileSystemWriter(f"checkpoint-{next(numbers)}", overwrite=True)
        last[:] = [async_save({"model": weights, "optimizer": moments}, storage_writer=writer)]
        return time.perf_counter() - begin

    found = _repeat(times, stall, lambda: last[0].result())
    dist.destroy_process_group()
    return found


WAYS: dict[str, Callable[[int, int], list[float]]] = {
    "copy": _copy,
    "midcourse": _midcourse,
    "torch_save": _torch_save,
    "async_save": _async_save,
}
WORDS = {
    "copy": "memory copy",
    "midcourse": "Midcourse",
    "torch_save": "torch.save in the loop",
    "async_save": "torch.distributed.checkpoint.async_save",
}

if __name__ == "__main__":
    main()
