"""PyTorch with Midcourse: W&B offline, steered if the environment says so."""

from time import perf_counter, sleep

from torch.nn.functional import cross_entropy

import midcourse
from benchmarks.task import BATCH, SAMPLES, make_data, make_model, make_optimizer


def train(steps: int, warm_up: int) -> float:
    """See the package."""
    model = make_model()
    optimizer = make_optimizer(model)
    begin = end = 0.0
    # No checkpoints while the clock runs, as none of the others takes any.
    with midcourse.start("bench", checkpoint_every=None) as run:
        run.track(model=model, optimizer=optimizer)
        epochs = -(-(warm_up + steps) * BATCH // SAMPLES)
        for inputs, labels in run.batches(make_data(), batch_size=BATCH, epochs=epochs):
            if run.current_step == 0:
                _await_tracker(run)
            if run.current_step == warm_up:
                begin = perf_counter()
            loss = cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"train/loss": loss, "train/lr": optimizer.param_groups[0]["lr"]})
            run.step()
            if run.current_step == warm_up + steps:
                end = perf_counter()
                break
    return end - begin


def _await_tracker(run: midcourse.Session) -> None:
    """Until W&B is at work, as `wandb.init` does for all others before their first step."""
    while (tracking := run.tracking) is None or tracking.folder is None:
        if tracking is not None and tracking.mode == "disabled":
            return
        sleep(0.05)
