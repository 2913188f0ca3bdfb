"""Stands in for `midcourse.tracking.fetch`: does what a file beside it says, and keeps a record.

`plan.json` has for each source what its tries come to, one after the other; the last one counts
for all further ones: {"says": …, "code": …}, {"checkpoint": …} or {"hangs": true}. With a
checkpoint, "config" is added to its run's configuration, and "record" to what is said of itself.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.imported import FetchedCheckpoint
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunFile


def main(folder: Path, flag: str, source: str, home: Path) -> int:
    assert flag == "--end-with-input"
    with (folder / "calls.jsonl").open("a") as calls:
        said = {"source": source, "pid": os.getpid(), "key": os.environ.get("WANDB_API_KEY")}
        calls.write(json.dumps(said) + "\n")
    lines = (folder / "calls.jsonl").read_text().splitlines()
    number = sum(json.loads(line)["source"] == source for line in lines)
    plan = json.loads((folder / "plan.json").read_text())[source]
    step = plan[min(number, len(plan)) - 1]
    if step.get("hangs"):
        while os.read(0, 100):
            pass
        return 75
    if step.get("takes"):
        while not (folder / step["takes"]).exists():
            time.sleep(0.01)
    if "code" in step:
        sys.stderr.write(f"wandb: a line of the SDK\n{step['says']}\n")
        return int(step["code"])
    answer = json.loads(put(home, source, step).to_json())
    answer["checkpoint"] |= step.get("record", {})
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def put(home: Path, source: str, step: dict[str, Any]) -> FetchedCheckpoint:
    """Put a checkpoint in place, as far as the control API looks at it."""
    entity, project, rest = source.split("/")
    run, name = rest.partition("@")[0], step["checkpoint"]
    paths = RunPaths(home, run)
    paths.checkpoint(name).mkdir(parents=True, exist_ok=True)
    (paths.checkpoint(name) / "manifest.json").write_text("{}")
    record = CheckpointRecord(
        run=run,
        name=name,
        step=int(name.removeprefix("step-")),
        reason="best",
        state_hash="b" * 64,
        bytes=10,
        created_at=utc_now(),
        metrics={"test/accuracy": 0.9},
        best=True,
    )
    config = {"optimizer": {"lr": 0.1}, "seed": 3, **step.get("config", {})}
    return FetchedCheckpoint(
        run_file=RunFile(id=run, experiment="digits", name="far\naway", seed=3, config=config),
        checkpoint=record,
        parameters={"optimizer.lr": 0.1, "model.dropout": None},
        artifact=f"{entity}/{project}/{run}-checkpoint:v3",
        server="https://api.wandb.ai",
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))
