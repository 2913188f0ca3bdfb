"""The training loop."""

from collections.abc import Callable

import torch

from midcourse import Session
from midcourse.contract.names import MediaName, Metric
from trainer.build import Task, leaves_one_over
from trainer.config import Train
from trainer.evaluation import Evaluation, evaluate, gradient_norms, label_histogram
from trainer.meter import Meter
from trainer.tasks.schedulers import advance, advance_by_loss

GRADIENT_NORMS_EVERY = "50 steps"


def train(
    run: Session,
    task: Task,
    settings: Train,
    *,
    batch_size: int,
    schedule_every: str | None,
    tell: Callable[[str], None],
) -> Evaluation:
    """Train until the epochs are done or the run is ended from outside.

        for each batch, in an order that seed and epoch determine:
            augment, predict, loss, backward
            now and then: log each layer's gradient norm
            clip the gradient, step the optimizer, step the schedule
            when due: try the test pictures
            step boundary: commands act, checkpoints are taken

    Args:
        run: whose live parameters may change anything here at a step boundary.
        task: what is trained.
        settings: how long, how often.
        batch_size: pictures in a step.
        schedule_every: when the scheduler steps; None if it does not by itself.
        tell: shows a person a line at each evaluation.

    Returns:
        The evaluation of the model as it is at the end.
    """
    model, optimizer, scheduler, loss_of = task.model, task.optimizer, task.scheduler, task.loss
    meter = Meter(task.device)
    run.track(model=model, optimizer=optimizer, loss=loss_of, meter=meter)
    if scheduler is not None:
        run.track(scheduler=scheduler)
    data = (task.dataset.train_images, task.dataset.train_labels)
    found, found_at = None, None
    model.train()
    lone = leaves_one_over(len(data[0]), batch_size)
    for images, labels in run.batches(
        data, batch_size=batch_size, epochs=settings.epochs, drop_last=lone
    ):
        if run.current_step == 0:
            run.log({MediaName.LABEL_HISTOGRAM: label_histogram(data[1], task.dataset.classes)})
        logits = task.predict(task.augment(images))
        loss = loss_of(logits, labels)
        loss.backward()
        if run.due(GRADIENT_NORMS_EVERY):
            run.log(gradient_norms(model))
        if settings.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)
        run.log({Metric.TRAIN_BATCH_LOSS: loss.detach(), Metric.LEARNING_RATE: learning_rate(task)})
        optimizer.step()
        optimizer.zero_grad()
        meter.add(loss, logits, labels)
        if scheduler is not None and schedule_every is not None and run.due(schedule_every):
            advance(scheduler)
        if run.due(settings.eval_every) or run.current_step + 1 == run.total_steps:
            found, found_at = test(task), (run.id, run.current_step)
            run.log(found.to_log() | meter.values())
            tell(f"step {run.current_step}, epoch {run.epoch}: {found.in_words()}")
            meter.reset()
            if scheduler is not None:
                advance_by_loss(scheduler, found.loss)
        run.step()
    return found if found and found_at == (run.id, run.last_step) else test(task)


def test(task: Task) -> Evaluation:
    """Try the model on the test pictures."""
    data = task.dataset
    return evaluate(
        task.predict, task.model, task.loss, data.test_images, data.test_labels, data.classes
    )


def learning_rate(task: Task) -> float:
    """Of the first parameter group, as the next optimizer step uses it."""
    rate: float = task.optimizer.param_groups[0]["lr"]
    return rate
