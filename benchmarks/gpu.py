"""What Midcourse costs on a GPU: throughput, waits, checkpoint stall, and the ways of the data.

Each part runs in a process of its own. `--device cpu` goes through all of it where there is none.
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
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import midcourse
from benchmarks.harness import make_parser, print_table, run_child, write_result
from midcourse.contract.checkpoints import CheckpointReason

Rows = list[dict[str, Any]]


def main() -> None:
    """Measure each part in a child, print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inside", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no CUDA device here; --device cpu tries the benchmark without one.")
    scale = Scale(small=given.quick or device.type == "cpu", rounds=given.rounds)
    if given.inside:
        sys.stdout.write(json.dumps(PARTS[given.inside](device, scale)) + "\n")
        return
    options = [f"--device={given.device}", f"--rounds={given.rounds}"]
    options += ["--quick"] if given.quick else []
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, as a try"
    for part in PARTS:
        rows = run_child("benchmarks.gpu", f"--inside={part}", *options)
        print_table(f"{part} ({name})", rows)
        write_result(given.results, f"gpu_{part}", rows, device=name)


class Scale:
    """Sizes for a GPU, or tiny ones."""

    def __init__(self, *, small: bool, rounds: int) -> None:
        self.rounds = 1 if small else rounds
        self.steps = 20 if small else 1000
        self.width = 64 if small else 2048
        self.samples = 512 if small else 60_000
        self.batch = 64 if small else 512
        self.megabytes = 2 if small else 1000
        self.workers = 1 if small else 8


def settle(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_task(device: torch.device, scale: Scale) -> tuple[nn.Module, torch.optim.Optimizer]:
    """An MLP of one 28x28 picture, and Adam."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, scale.width),
        nn.ReLU(),
        nn.Linear(scale.width, scale.width),
        nn.ReLU(),
        nn.Linear(scale.width, 10),
    ).to(device)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3)


def make_data(scale: Scale) -> tuple[Tensor, Tensor]:
    """Pictures and labels, in host memory."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(scale.samples, 1, 28, 28, generator=generator)
    return pictures, torch.randint(0, 10, (scale.samples,), generator=generator)


def learn(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """One step; returns the loss, on the device."""
    loss = cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@contextmanager
def a_run(**tracked: Any) -> Iterator[midcourse.Session]:
    """A run in a folder of its own."""
    with (
        TemporaryDirectory() as home,
        midcourse.start("bench", home=home, checkpoint_every=None, keep=1) as run,
    ):
        run.track(**tracked)
        yield run


def throughput(device: torch.device, scale: Scale) -> Rows:
    """Steps a second on resident data, with Midcourse and without, in turns."""
    images, labels = (each[: scale.batch].to(device) for each in make_data(scale))
    model, optimizer = make_task(device, scale)
    seconds: dict[str, list[float]] = {"PyTorch": [], "with Midcourse, two scalars a step": []}
    with a_run(model=model, optimizer=optimizer) as run:
        run.begin()
        for turn in range(-1, scale.rounds):
            for way, found in seconds.items():
                settle(device)
                begin = time.perf_counter()
                for _ in range(scale.steps):
                    loss = learn(model, optimizer, images, labels)
                    if way != "PyTorch":
                        run.log({"train/loss": loss, "train/lr": 1e-3})
                        run.step()
                settle(device)
                if turn >= 0:  # the first turn warms up
                    found.append(time.perf_counter() - begin)
    bare = seconds["PyTorch"]
    return [
        {
            "way": way,
            "steps a second": scale.steps / statistics.median(found),
            "x bare": statistics.median(a / b for a, b in zip(found, bare, strict=True)),
        }
        for way, found in seconds.items()
    ]


def waits(device: torch.device, scale: Scale) -> Rows:
    """Whether the host waits for the device in a loop that logs ten values, and what a log costs.

    With the debug mode at "error", the first call that waits raises.
    """
    images, labels = (each.to(device) for each in make_data(scale))
    model, optimizer = make_task(device, scale)
    costs, steps = [], 0
    with a_run(model=model, optimizer=optimizer) as run:
        ten = [torch.rand((), device=device) for _ in range(9)]
        epochs = 2 if scale.samples < 1000 else 5
        for inputs, targets in run.batches((images, labels), batch_size=scale.batch, epochs=epochs):
            loss = learn(model, optimizer, inputs, targets)
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("error")
            values = {f"value_{index}": each for index, each in enumerate([*ten, loss])}
            begin = time.perf_counter()
            run.log(values)
            costs.append((time.perf_counter() - begin) * 1e6)
            run.step()
            steps += 1
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    return [
        {
            "loop": "run.batches, step, run.log of ten device scalars, run.step",
            "steps": steps,
            "waits": 0 if device.type == "cuda" else None,
            "log, median us": statistics.median(costs),
        }
    ]


def stall(device: torch.device, scale: Scale) -> Rows:
    """How long a checkpoint holds up the host, with the device at rest before."""
    width = max(16, int((scale.megabytes * 1e6 / 4 / 3 / 24) ** 0.5))
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(24))).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, width, device=device)).sum().backward()
    optimizer.step()
    tensors = [each.detach() for each in model.parameters()] * 3
    with a_run(model=model, optimizer=optimizer) as run:
        run.begin()
        run.branch.writer.drain()
        run.step()
        last: list[Any] = []

        def ours() -> None:
            last[:] = [run.take_checkpoint(CheckpointReason.SCHEDULE)]

        def ours_written() -> None:
            last[0].result()
            run.step()

        ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "memory copy to the host, pageable": (lambda: [each.cpu() for each in tensors], int),
            "Midcourse, staged in pinned memory": (ours, ours_written),
            "torch.save in the loop": (
                lambda: torch.save([model.state_dict(), optimizer.state_dict()], "checkpoint.pt"),
                int,
            ),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(scale.rounds + 1):
            for way, (act, after) in ways.items():
                settle(device)
                begin = time.perf_counter()
                act()
                found[way].append((time.perf_counter() - begin) * 1e3)
                after()
    copy = statistics.median(found["memory copy to the host, pageable"][1:])
    return [
        {
            "way": way,
            "ms": statistics.median(times[1:]),
            "x copy": statistics.median(times[1:]) / copy,
            "first, ms": times[0],
        }
        for way, times in found.items()
    ]


def data(device: torch.device, scale: Scale) -> Rows:
    """Seconds of an epoch that only fetches: resident, through run.batches, and a DataLoader."""
    held = make_data(scale)
    resident = tuple(each.to(device) for each in held)
    epochs = 2

    def through_session(source: Any, **options: Any) -> Callable[[], Any]:
        def walk() -> None:
            with a_run(model=nn.Linear(1, 1)) as run:
                for batch in run.batches(source, batch_size=scale.batch, epochs=epochs, **options):
                    for each in batch:
                        each.to(device, non_blocking=True)
                    run.step()
                settle(device)

        return walk

    def through_loader() -> None:
        loader = DataLoader(
            TensorDataset(*held),
            batch_size=scale.batch,
            shuffle=True,
            num_workers=scale.workers,
            pin_memory=device.type == "cuda",
            persistent_workers=True,
        )
        for _ in range(epochs):
            for batch in loader:
                for each in batch:
                    each.to(device, non_blocking=True)
        settle(device)

    ways = {
        "resident, run.batches": through_session(resident),
        "dataset, run.batches": through_session(TensorDataset(*held), num_workers=scale.workers),
        "torch DataLoader": through_loader,
    }
    rows = []
    for way, walk in ways.items():
        begin = time.perf_counter()
        walk()
        seconds = (time.perf_counter() - begin) / epochs
        rows.append(
            {
                "way": way,
                "s an epoch": seconds,
                "samples a second": scale.samples / seconds,
                "workers": 0 if "resident" in way else scale.workers,
            }
        )
    return rows


PARTS: dict[str, Callable[[torch.device, Scale], Rows]] = {
    "throughput": throughput,
    "waits": waits,
    "stall": stall,
    "data": data,
}

if __name__ == "__main__":
    main()
