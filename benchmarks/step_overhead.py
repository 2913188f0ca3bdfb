"""What logging two scalars each step costs the training loop, beside bare PyTorch and its peers.

Each candidate trains in a process of its own; the rounds are interleaved, and each candidate is
compared with the bare loop of its own round.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.candidate import NAMES
from benchmarks.control import ControlApi
from benchmarks.harness import (
    is_installed,
    make_parser,
    paired_ratios,
    print_table,
    run_child,
    spread,
    write_result,
)

TARGET = 1.02
WORDS = {
    "bare": "PyTorch",
    "wandb_log": "PyTorch + wandb.log each step",
    "lightning": "Lightning + its W&B logger",
    "transformers": "Transformers' Trainer + W&B",
    "midcourse": "PyTorch + Midcourse, W&B and control API",
}
_END_SECONDS = 120.0


def main() -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="with all candidates")
    parser.add_argument(
        "--pairs", type=int, default=6, help="further rounds of bare and Midcourse alone"
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.pairs, given.steps = 1, 0, 40
    names = [name for name in NAMES if name in ("bare", *given.only) and _is_here(name)]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(given.rounds + given.pairs):
        for name in names if index < given.rounds else ("bare", "midcourse"):
            if name in names:
                seconds[name].append(_measure(name, given.steps, given.steps // 10))
                print(
                    f"round {index}: {name} {seconds[name][-1] / given.steps * 1e3:.3f} ms a step"
                )
    rows = []
    for name in names:
        per_step = [value / given.steps * 1e3 for value in seconds[name]]
        ratios = paired_ratios(seconds[name], seconds["bare"][: len(per_step)])
        rows.append(
            {
                "candidate": WORDS[name],
                "ms a step": statistics.median(per_step),
                "x bare": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
                "rounds": len(ratios),
            }
        )
    print_table(f"{given.steps} steps of an MLP, one thread; target {TARGET} x bare", rows)
    write_result(
        given.results,
        "step_overhead",
        rows,
        target={"Midcourse x bare, median of paired ratios": TARGET},
        seconds=seconds,
        spread={name: spread(seconds[name]) for name in names},
    )


def _is_here(name: str) -> bool:
    return name not in ("lightning", "transformers") or is_installed(name)


def _measure(name: str, steps: int, warm_up: int) -> float:
    measure: Callable[[int, int], Any] = _steered if name == "midcourse" else _alone(name)
    return float(measure(steps, warm_up)["seconds"])


def _alone(name: str) -> Callable[[int, int], Any]:
    return lambda steps, warm_up: run_child(
        "benchmarks.candidate", name, f"--steps={steps}", f"--warm-up={warm_up}"
    )


def _steered(steps: int, warm_up: int) -> Any:
    """Started by a control API, connected with it all the time."""
    with ControlApi("benchmarks.candidate") as api:
        target = api.home / "result.json"
        params = {"name": "midcourse", "steps": steps, "warm_up": warm_up, "target": str(target)}
        run = api.ask("POST", "/runs", {"experiment": "bench", "config": params})["id"]
        api.wait_for_end(run, _END_SECONDS)
        deadline = time.monotonic() + _END_SECONDS
        while not target.exists():  # after W&B's tracker has finished
            if time.monotonic() > deadline:
                raise RuntimeError(f"no result:\n{api.console(run)[-3000:]}")
            time.sleep(0.1)
        return json.loads(target.read_text())


if __name__ == "__main__":
    main()
