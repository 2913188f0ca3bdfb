"""How long from sending a change to the step that it acts at, over a real control API.

Both clocks are this machine's: the client's when it sends the request, the trainer's in the receipt
when the change has acted and was read back.
"""

import random
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from benchmarks.control import ControlApi
from benchmarks.harness import make_parser, print_table, quantile, write_result

_START_SECONDS = 90.0
_AGES = 2_000_000
"""Steps: longer than any measurement; the run is stopped."""


def main() -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--commands", type=int, default=300)
    given = parser.parse_args()
    count = 5 if given.quick else given.commands
    with ControlApi("benchmarks.candidate") as api:
        target = api.home / "times.json"  # which nobody reads
        params = {"name": "midcourse", "steps": _AGES, "warm_up": 0, "target": str(target)}
        run = api.ask("POST", "/runs", {"experiment": "bench", "config": params})["id"]
        _wait_for_steps(api, run)
        acted, answered = _send(api, run, count)
        steps_per_second = api.ask("GET", f"/runs/{run}")["steps_per_second"]
        api.ask("POST", f"/runs/{run}/stop")
        api.wait_for_end(run, _START_SECONDS)
    step_ms = 1000 / steps_per_second
    rows = [
        {
            "from the request sent until": what,
            "p50 ms": quantile(found, 0.5),
            "p90 ms": quantile(found, 0.9),
            "p99 ms": quantile(found, 0.99),
            "most ms": max(found),
        }
        for what, found in (
            ("the change has acted", acted),
            ("the client has the receipt", answered),
        )
    ]
    print_table(
        f"{count} changes of optimizer.lr; a step takes {step_ms:.2f} ms, "
        f"so the target for acting is {step_ms + 50:.0f} ms",
        rows,
    )
    write_result(
        given.results, "command_latency", rows, commands=count, step_ms=step_ms, acted_ms=acted
    )


def _send(api: ControlApi, run: str, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds until each change had acted, and until its receipt was here."""
    chance = random.Random(0)
    acted, answered = [], []
    for index in range(count):
        time.sleep(chance.uniform(0.01, 0.1))  # at no fixed beat with heartbeats and flushes
        begin = time.time()
        answer = api.ask(
            "PATCH",
            f"/runs/{run}/params",
            {"optimizer.lr": 0.01 if index % 2 else 0.02},
            headers={"Prefer": "wait=30"},
        )
        answered.append((time.time() - begin) * 1e3)
        if answer["state"] != "applied":
            raise RuntimeError(f"the change was not applied: {answer}")
        acted.append((datetime.fromisoformat(answer["receipt"]["at"]).timestamp() - begin) * 1e3)
    return acted, answered


def _wait_for_steps(api: ControlApi, run: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        found: dict[str, Any] = {}
        with suppress(OSError):
            found = api.ask("GET", f"/runs/{run}")
        if (found.get("step") or 0) > 100:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the run did not begin:\n{api.console(run)[-3000:]}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
