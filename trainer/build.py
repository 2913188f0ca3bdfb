"""From a configuration to the objects that train: all of them, or a list of what is wrong."""

import contextlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from midcourse.catalogue.schedulers import EVALUATED, advance, make_scheduler
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.interval import Interval
from trainer.beat import beat_of
from trainer.compiling import compile_model
from trainer.config import Config
from trainer.configure import augmentation_options
from trainer.pictures import TrainingData, choose_placement, place
from trainer.precision import autocast
from trainer.tasks import (
    AUGMENTATIONS,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    Dataset,
    DataUnavailable,
)


@dataclass(frozen=True)
class Task:
    """Everything that a training loop works with, on its device."""

    dataset: Dataset
    model: nn.Module
    loss: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    device: torch.device
    training: TrainingData
    layout: torch.memory_format
    """Of the pictures in memory, as the model takes them."""

    def predict(self, images: Tensor, precision: str) -> Tensor:
        """Logits [N, K] in float32 of uint8 pictures [N, C, H, W], computed in a precision."""
        with autocast(self.device, precision):
            pictures = self.dataset.normalized(images).contiguous(memory_format=self.layout)
            logits: Tensor = self.model(pictures)
        return logits.float()


def build(config: Config, data_root: Path) -> Task:
    """Load the data, make everything, and try it on two pictures.

    Args:
        config: checked.
        data_root: where data sets lie, and are downloaded to.

    Raises:
        InvalidInput: what the configuration asks for cannot be made; nothing was started.
    """
    device = _device(config.train.device)
    _be_deterministic(config.train.deterministic)
    _seed(config.seed)
    with _blamed("data", DataUnavailable):
        dataset = DATASETS.make(config.data.name, data_root, **config.data.options)
        for name, value in config.data.augmentation.items():  # only to see whether they can be
            AUGMENTATIONS.make(name, **augmentation_options(name, value))
    with _blamed("model"):
        classes = len(dataset.classes)
        model = MODELS.make(config.model.name, dataset.shape, classes, **config.model.options)
    with _blamed("loss"):
        loss = LOSSES.make(config.loss.name, **config.loss.options)
    _rehearse(config, len(dataset.train_labels))
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    model = model.to(device).to(memory_format=layout)
    loss = loss.to(device)
    with _blamed("data.placement", torch.OutOfMemoryError):
        placement = choose_placement(config.data.placement, dataset, device)
        dataset, training = place(dataset, placement, device, config.data.workers)
    optimizer = OPTIMIZERS.make(
        config.optimizer.name, model.parameters(), **config.optimizer.options
    )
    scheduler = _scheduler(config, optimizer, len(dataset.train_labels))
    task = Task(dataset, model, loss, optimizer, scheduler, device, training, layout)
    _try(task, config.train.precision)
    if config.train.compile:
        compile_model(model, device)
    return task


def leaves_one_over(pictures: int, batch_size: int) -> bool:
    """Whether an epoch's last batch would be a single picture, which batch norm cannot train on."""
    return pictures > batch_size and pictures % batch_size == 1


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        here = f"{count} GPU{'s' if count > 1 else ''}" if count else "no GPU that torch can use"
        message = f"is {name}, and this machine has {here}; auto takes a GPU if there is one"
        raise InvalidInput([Fault(path="train.device", message=message)])
    return device


def _be_deterministic(on: bool) -> None:
    if on:
        # cuBLAS reads it when it starts; without it, torch refuses to multiply matrices.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark = not on


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _scheduler(config: Config, optimizer: Optimizer, pictures: int) -> LRScheduler:
    """The scheduler, told how often it will step if training goes to its end."""
    batch_size = config.data.batch_size
    whole, rest = divmod(pictures, batch_size)
    steps_per_epoch = whole + (rest > 0 and not leaves_one_over(pictures, batch_size))
    beat = beat_of(config.scheduler.name, config.scheduler.step_every)
    every = Interval.parse(beat or config.train.eval_every)
    beats = config.train.epochs * (steps_per_epoch if every.unit == "steps" else 1) // every.count
    return make_scheduler(
        config.scheduler.name, optimizer, length=max(beats, 1), **config.scheduler.options
    )


def _rehearse(config: Config, pictures: int) -> None:
    """Three steps of optimizer and scheduler on a weight of no importance.

    Torch checks some values when it makes them (a momentum without which Nesterov has none), and
    some only by failing later (a schedule of length 0).
    """
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    with _blamed("optimizer", TypeError, ArithmeticError, RuntimeError):
        optimizer = OPTIMIZERS.make(config.optimizer.name, [weight], **config.optimizer.options)
        optimizer.step()
    with _blamed("scheduler", TypeError, ArithmeticError):
        scheduler = _scheduler(config, optimizer, pictures)
        for _ in range(3):
            optimizer.step()
            if config.scheduler.name not in EVALUATED:
                advance(scheduler)


def _try(task: Task, precision: str) -> None:
    """Whether two pictures go through model and loss, and back. Leaves everything as it was."""
    images = task.dataset.train_images[:2].to(task.device)
    labels = task.dataset.train_labels[:2].to(task.device)
    task.model.eval()  # without dropout and new batch statistics
    with _blamed("model", RuntimeError):
        logits = task.predict(images, precision)
        wanted = (len(images), len(task.dataset.classes))
        if logits.shape != wanted:
            raise ValueError(
                f"gives outputs of shape {list(logits.shape)} for {len(images)} pictures of "
                f"{wanted[1]} classes; it must be {list(wanted)}"
            )
    with _blamed("loss", RuntimeError):
        loss = task.loss(logits, labels)
    with _blamed("model", RuntimeError):
        loss.backward()
    task.optimizer.zero_grad()
    task.model.train()


@contextlib.contextmanager
def _blamed(section: str, *also: type[Exception]) -> Iterator[None]:
    """A ValueError inside, or one of `also`, is a fault of this section of the configuration."""
    try:
        yield
    except (ValueError, *also) as error:  # type: ignore[misc]  # mypy loses the unpacked types
        message = str(error) or type(error).__name__
        if "does not have a deterministic implementation" in message:
            message = f"{message.split(',')[0]}; set this to false, or choose another {section}"
            section = "train.deterministic"
        raise InvalidInput([Fault(path=section, message=message)]) from error
