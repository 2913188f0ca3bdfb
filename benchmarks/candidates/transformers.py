"""Transformers' Trainer and its W&B reporting."""

from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from benchmarks.task import Batch, batches, make_data, make_model, make_optimizer


class _Batches(Dataset[Batch]):
    """One whole batch an item, so that the Trainer need not collate samples."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._source = batches(make_data(), steps + 100)  # it looks ahead

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, _: int) -> Batch:
        return next(self._source)


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = make_model()

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": cross_entropy(self.model(inputs), labels)}


class _Clock(TrainerCallback):  # type: ignore[misc]
    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.begin = self.end = 0.0

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        self.end = perf_counter()
        if state.global_step == self.warm_up:
            self.begin = self.end


def train(steps: int, warm_up: int) -> float:
    """See the package."""
    model, clock = _Model(), _Clock(warm_up)
    optimizer = make_optimizer(model)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir="out",
            max_steps=warm_up + steps,
            per_device_train_batch_size=1,
            logging_steps=1,
            report_to=["wandb"],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            max_grad_norm=0.0,
            dataloader_pin_memory=False,
        ),
        train_dataset=_Batches(warm_up + steps),
        data_collator=_only,
        optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        callbacks=[clock],
    )
    trainer.train()
    return clock.end - clock.begin


def _only(items: list[Batch]) -> dict[str, Tensor]:
    [(inputs, labels)] = items
    return {"inputs": inputs, "labels": labels}
