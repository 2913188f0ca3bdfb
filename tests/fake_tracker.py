"""Stands for `python -m midcourse.tracking`: notes its start, and does as `tracker.json` says.

`python fake_tracker.py <run folder>`; `tracker.json` lies in the home, and says for each run what
its status is to be, one after the other, whether it then hangs, and its exit code. Its environment
and the rest of its arguments stand in `start.json` afterwards.
"""

import json
import os
import sys
import time
from pathlib import Path


def put(file: Path, text: str) -> None:
    """Write a file that others read meanwhile."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def main() -> int:
    """Do as told; the exit code."""
    folder = Path(sys.argv[1])
    home = folder.parent.parent
    with (home / "order").open("a") as order:
        mode, key = os.environ["WANDB_MODE"], os.environ["WANDB_API_KEY"]
        order.write(f"{folder.name} {mode} {key[:3]}\n")
    put(home / "start.json", json.dumps({"argv": sys.argv[2:], "environ": dict(os.environ)}))
    told = json.loads((home / "tracker.json").read_text()).get(folder.name, {})
    for status in told.get("says", []):
        put(folder / "tracking" / "status.json", json.dumps(status))
    if told.get("hangs"):
        put(home / "hangs", str(os.getpid()))
        time.sleep(600)
    print("said on standard output")
    return int(told.get("code", 0))


if __name__ == "__main__":
    sys.exit(main())
