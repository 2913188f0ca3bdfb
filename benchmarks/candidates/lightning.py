"""Lightning and its W&B logger."""

import logging
import warnings
from time import perf_counter
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import WandbLogger
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset

from benchmarks.task import Batch, batches, make_data, make_model, make_optimizer


class _Batches(IterableDataset[Batch]):
    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __iter__(self) -> Any:
        return batches(make_data(), self._steps)


class _Task(lightning.LightningModule):
    def __init__(self, warm_up: int) -> None:
        super().__init__()
        self.model = make_model()
        self.warm_up = warm_up
        self.begin = self.end = 0.0

    def training_step(self, batch: Batch) -> torch.Tensor:
        inputs, labels = batch
        loss = cross_entropy(self.model(inputs), labels)
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        self.log_dict({"train/loss": loss, "train/lr": rate}, on_step=True, on_epoch=False)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        self.end = perf_counter()
        if self.global_step == self.warm_up:
            self.begin = self.end

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.model)


def train(steps: int, warm_up: int) -> float:
    """See the package."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    task = _Task(warm_up)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=warm_up + steps,
        max_epochs=1,
        logger=WandbLogger(project="bench", offline=True),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, DataLoader(_Batches(warm_up + steps), batch_size=None))
    return task.end - task.begin
