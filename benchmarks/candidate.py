"""`python -m benchmarks.candidate NAME`: train one candidate in this process and say how it went.

A control API starts this as its trainer too: then the parameters stand in the file that it names.
"""

import argparse
import json
import resource
import sys
import threading
from importlib import import_module
from pathlib import Path

import torch

NAMES = ("bare", "wandb_log", "lightning", "transformers", "midcourse")


def main() -> None:
    """Train, and print or write the result as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help=f"{', '.join(NAMES)}, or a run's parameters file")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--warm-up", type=int, default=200)
    given = parser.parse_args()
    name, steps, warm_up, target = given.name, given.steps, given.warm_up, None
    if name.endswith(".json"):
        params = json.loads(Path(name).read_text())
        name, steps, warm_up = params["name"], params["steps"], params["warm_up"]
        target = Path(params["target"])
    torch.set_num_threads(1)
    seconds = import_module(f"benchmarks.candidates.{name}").train(steps, warm_up)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = json.dumps(
        {
            "name": name,
            "steps": steps,
            "seconds": seconds,
            "cpu_seconds_of_process": usage.ru_utime + usage.ru_stime,
            "threads_at_end": threading.active_count(),
        }
    )
    if target is None:
        sys.stdout.write(f"{result}\n")
    else:
        whole = target.with_suffix(".new")
        whole.write_text(result)
        whole.rename(target)


if __name__ == "__main__":
    main()
