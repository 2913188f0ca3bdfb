"""PyTorch, and `wandb.log` each step."""

from time import perf_counter

import wandb
from torch.nn.functional import cross_entropy

from benchmarks.task import batches, make_data, make_model, make_optimizer


def train(steps: int, warm_up: int) -> float:
    """See the package."""
    model = make_model()
    optimizer = make_optimizer(model)
    begin = 0.0
    with wandb.init(project="bench", mode="offline"):
        for step, (inputs, labels) in enumerate(batches(make_data(), warm_up + steps)):
            if step == warm_up:
                begin = perf_counter()
            loss = cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            wandb.log({"train/loss": loss.item(), "train/lr": optimizer.param_groups[0]["lr"]})
        return perf_counter() - begin
