"""A small real trainer, as a launcher starts it: `python chaos_trainer.py params.json`.

It tells of its life in `$MIDCOURSE_HOME/lives/<run>`, a line as it starts: its process, its
attempt, and which other trainers of this run live at that moment. There should be none.
"""

import json
import os
import sys
import time
from pathlib import Path

from served import alive, start_of


def tell_of_life(home: Path, run: str) -> None:
    """Before anything that takes long: who lives beside us is to be seen."""
    lives = home / "lives" / run
    lives.parent.mkdir(exist_ok=True)
    told = lives.read_text().splitlines() if lives.exists() else []
    earlier = [json.loads(line) for line in told]
    life = {
        "pid": os.getpid(),
        "began": start_of(os.getpid()),
        "attempt": os.environ.get("MIDCOURSE_ATTEMPT"),
        "beside": [each["pid"] for each in earlier if alive(each["pid"], each["began"])],
    }
    with lives.open("a") as file:
        file.write(json.dumps(life) + "\n")


if run := os.environ.get("MIDCOURSE_RUN_ID"):
    tell_of_life(Path(os.environ["MIDCOURSE_HOME"]), run)

import torch  # noqa: E402
from tiny_run import set_up  # noqa: E402

import midcourse  # noqa: E402

config = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
try:
    session = midcourse.start(
        "chaos", config, seed=config["seed"], checkpoint_every="40 steps", keep=3
    )
except midcourse.MidcourseError as error:  # another still holds the run, or has it now
    print(error, file=sys.stderr)
    sys.exit(75)
with session as run:
    work = set_up(run)
    for _ in run.batches(torch.arange(config["steps"]), batch_size=1, epochs=1):
        run.log({"loss": work()})
        time.sleep(config["pace"])
        run.step()
