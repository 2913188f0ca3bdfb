"""`make bench`: the benchmarks of training, which need no GPU, then the tables of README.md.

Needs a machine that does nothing else for a quarter of an hour.
"""

import subprocess
import sys
import time

from benchmarks.harness import ROOT, make_parser

NAMES = (
    "log_cost",
    "layer_statistics",
    "checkpoint_stall",
    "command_latency",
    "tracking",
    "step_overhead",
)


def main() -> int:
    """Run each; the exit status is 1 if one failed, and the others ran all the same."""
    given = make_parser(__doc__).parse_args()
    options = ["--results", str(given.results), *(["--quick"] if given.quick else [])]
    failed = []
    begin = time.monotonic()
    for name in NAMES:
        print(f"\n== {name}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *options], cwd=ROOT, check=False
        )
        if done.returncode:
            failed.append(name)
    if not given.quick:
        subprocess.run([sys.executable, "-m", "benchmarks.tables"], cwd=ROOT, check=True)
    print(f"\n{time.monotonic() - begin:.0f} seconds in all")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
