"""A trainer for the tests of losing its place: the first attempt dawdles where it is told to.

`python fenced_trainer.py <home>`. `DAWDLE` says how: `steps` goes on slowly, `pause` is paused,
`evaluation` is busy between two boundaries for a long time.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_run import command, set_up, start

home, how = Path(sys.argv[1]), os.environ.get("DAWDLE")
with start(home, run_id="r1", checkpoint_every="5 steps", keep=3) as run:
    work = set_up(run)
    for _ in run.batches(torch.arange(200), batch_size=4, epochs=6):
        run.log({"loss": work()})
        if how and run.current_step == 12:
            (home / "armed").touch()
            if os.environ.get("STOP_AT") == "training":
                os.kill(os.getpid(), signal.SIGSTOP)
            if how == "pause":
                run.boundary.mailbox.post(command(1, "pause"))
            if how == "steps":
                run.boundary.mailbox.post(command(1, "set", changes={"optimizer.lr": 0.05}))
            if how == "evaluation":
                time.sleep(600)
        if how and run.current_step > 12:
            time.sleep(0.02)
        run.step()
