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

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.interval import Interval
from trainer.config import Config
from trainer.configure import augmentation_options
from trainer.tasks import (
    AUGMENTATIONS,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    Dataset,
    DataUnavailable,
)
from trainer.tasks.augmentations import Augmentation, chain
from trainer.tasks.schedulers import advance, make_scheduler


@dataclass(frozen=True)
class Task:
    """Everything that a training loop works with, on its device."""

    dataset: Dataset
    augment: Augmentation
    model: nn.Module
    loss: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    device: torch.device
    bfloat16: bool

    def predict(self, images: Tensor) -> Tensor:
        """Logits [N, K] of uint8 pictures [N, C, H, W], in the precision that is configured."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits: Tensor = self.model(self.dataset.normalized(images))
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
        choice = config.data
        dataset = DATASETS.make(choice.name, data_root, **choice.options)
        augment = chain(
            [
                AUGMENTATIONS.make(name, **augmentation_options(name, value))
                for name, value in sorted(choice.augmentation.items())
            ]
        )
    with _blamed("model"):
        classes = len(dataset.classes)
        model = MODELS.make(config.model.name, dataset.shape, classes, **config.model.options)
    with _blamed("loss"):
        loss = LOSSES.make(config.loss.name, **config.loss.options)
    _rehearse(config, len(dataset.train_labels))
    model, loss, dataset = model.to(device), loss.to(device), dataset.to(device)
    optimizer = OPTIMIZERS.make(
        config.optimizer.name, model.parameters(), **config.optimizer.options
    )
    scheduler = _scheduler(config, optimizer, len(dataset.train_labels))
    bfloat16 = config.train.precision == "bf16"
    task = Task(dataset, augment, model, loss, optimizer, scheduler, device, bfloat16)
    _try(task)
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


def _scheduler(config: Config, optimizer: Optimizer, pictures: int) -> LRScheduler | None:
    """The scheduler, told how often it will step if training goes to its end."""
    batch_size = config.data.batch_size
    whole, rest = divmod(pictures, batch_size)
    steps_per_epoch = whole + (rest > 0 and not leaves_one_over(pictures, batch_size))
    every = Interval.parse(config.scheduler.step_every or "1 epoch")
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
            if scheduler is not None and config.scheduler.step_every:
                advance(scheduler)


def _try(task: Task) -> None:
    """Whether two pictures go through model and loss, and back. Leaves everything as it was."""
    images, labels = task.dataset.train_images[:2], task.dataset.train_labels[:2]
    task.model.eval()  # without dropout and new batch statistics
    with _blamed("model", RuntimeError):
        logits = task.predict(images)
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
