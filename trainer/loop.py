"""The training loop."""

from collections.abc import Callable
from typing import Any

import torch

from midcourse import Session
from midcourse.catalogue.schedulers import Schedules, advance, advance_by_loss
from midcourse.contract.names import MediaName, Metric
from trainer.build import Task
from trainer.config import Config
from trainer.evaluation import Evaluation, evaluate, label_histogram
from trainer.meter import Meter
from trainer.precision import LossScaler
from trainer.steering import declare
from trainer.tasks import LOSSES, OPTIMIZERS, SCHEDULERS, Dataset, Registry

LAYER_NORMS_EVERY = "50 steps"


def train(run: Session, task: Task, config: Config, *, tell: Callable[[str], None]) -> Evaluation:
    """Train until the epochs are done or the run is ended from outside.

        for each batch, in an order that seed and epoch determine:
            augment, predict, loss, backward
            clip the gradient, step the optimizer, step the schedule
            when due: try the test pictures
            step boundary: commands act, checkpoints are taken

    Args:
        run: whose live parameters may change anything here at a step boundary.
        task: what is trained.
        config: what everything begins as.
        tell: shows a person a line at each evaluation.

    Returns:
        The evaluation of the model as it is at the end.
    """
    model, optimizer, scheduler, loss_of = task.model, task.optimizer, task.scheduler, task.loss
    meter, scaler = Meter(task.device), LossScaler(task.device)
    live = declare(run, config)
    choices: dict[str, Registry[Any] | Schedules] = {
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "scheduler": live.schedules(run),
    }
    run.track(model=model, optimizer=optimizer, scheduler=scheduler, loss=loss_of, choices=choices)
    run.track(meter=meter, scaler=scaler)
    run.watch(LAYER_NORMS_EVERY)
    name_data(run, task.dataset)
    found, found_at = None, None
    model.train()
    for images, labels in run.batches(
        task.training.data,
        batch_size=config.data.batch_size,
        epochs=config.train.epochs,
        smallest_last=2,  # batch norm cannot train on a single picture
        **task.training.options,
    ):
        if run.current_step == 0:
            histogram = label_histogram(task.dataset.train_labels, task.dataset.classes)
            run.log({MediaName.LABEL_HISTOGRAM: histogram})
        precision = live.precision.value
        logits = task.predict(live.augment(images), precision)
        loss = loss_of(logits, labels)
        scaler.backward(loss, optimizer, precision)
        if live.grad_clip.value is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), live.grad_clip.value)
        run.log({Metric.TRAIN_BATCH_LOSS: loss.detach(), Metric.LEARNING_RATE: learning_rate(task)})
        scaler.step(loss, optimizer, precision)
        meter.add(loss, logits, labels)
        beat = live.beat(SCHEDULERS.name_of(scheduler))
        if beat is not None and run.due(beat):
            advance(scheduler)
        if run.due(live.eval_every.value) or run.current_step + 1 == run.total_steps:
            found, found_at = test(task, precision), (run.id, run.current_step)
            run.log(found.to_log() | meter.values())
            tell(f"step {run.current_step}, epoch {run.epoch}: {found.in_words()}")
            meter.reset()
            advance_by_loss(scheduler, found.loss)
        run.step()
    if found is not None and found_at == (run.id, run.last_step):
        return found
    return test(task, live.precision.value)


def test(task: Task, precision: str) -> Evaluation:
    """Try the model on the test pictures."""
    data = task.dataset
    return evaluate(
        lambda images: task.predict(images.to(task.device), precision),
        task.model,
        task.loss,
        data.test_images,
        data.test_labels,
        data.classes,
    )


def name_data(run: Session, data: Dataset) -> None:
    """Tell the run what it trains on."""
    counts = torch.bincount(data.train_labels.cpu(), minlength=len(data.classes)).tolist()
    run.use_dataset(
        data.name,
        digest=data.digest,
        samples=len(data.train_labels) + len(data.test_labels),
        size=data.bytes,
        labels=dict(zip(data.classes, counts, strict=True)),
    )


def learning_rate(task: Task) -> float:
    """Of the first parameter group, as the next optimizer step uses it."""
    rate: float = task.optimizer.param_groups[0]["lr"]
    return rate
