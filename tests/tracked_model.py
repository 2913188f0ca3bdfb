"""A small model with its optimizer and loss, tracked, trained and changed as a session does it."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from midcourse.checkpoints.state import pack, unpack
from midcourse.live.table import Applied
from midcourse.tracked import Tracked

INPUTS = torch.randn(64, 6, generator=torch.Generator().manual_seed(1))
LABELS = (INPUTS.sum(1) > 0).long() + (INPUTS[:, 0] > 1).long()
CLASSES = 3


def make_model(classes: int = CLASSES) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module(
        "features",
        nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1)),
    )
    model.add_module("classifier", nn.Sequential(nn.Dropout(0.2), nn.Linear(8, classes)))
    return model


def sgd(weights: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.05)


class Training:
    """What a program has, and its loop."""

    def __init__(
        self,
        model: nn.Module | None = None,
        make_optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer] = sgd,
        loss: nn.Module | None = None,
        **objects: Any,
    ) -> None:
        self.model = make_model() if model is None else model
        self.optimizer = make_optimizer(self.model.parameters())
        self.loss = nn.CrossEntropyLoss() if loss is None else loss
        self.set_to_none = True
        self.tracked = Tracked()
        self.tracked.add(
            {"model": self.model, "optimizer": self.optimizer, "loss": self.loss, **objects}
        )
        self.step_number = 0
        torch.manual_seed(5)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.model.train()  # as a loop does after each evaluation
            at = self.step_number * 16 % 64
            inputs, labels = INPUTS[at : at + 16], LABELS[at : at + 16]
            self.optimizer.zero_grad(set_to_none=self.set_to_none)
            self.loss(self.model(inputs), labels).backward()
            self.optimizer.step()
            self.step_number += 1

    def set(self, changes: dict[str, Any]) -> Applied:
        parameters = self.tracked.parameters
        return parameters.apply(parameters.check(changes))

    def values(self) -> dict[str, Any]:
        return dict(self.tracked.parameters.values())

    def saved(self) -> Any:
        """The state as a checkpoint carries it: through JSON, with tensors of its own."""
        plain, tensors = pack(self.tracked.state(self.step_number))
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        return unpack(json.loads(json.dumps(plain)), copies)

    def load(self, state: Any, *, warm: bool = False) -> dict[str, Any]:
        """Load a copy: torch's optimizers take over the tensors that they are given."""
        self.step_number, report = self.tracked.load(copy.deepcopy(state), warm=warm)
        return report

    def hash(self) -> str:
        """Over everything that a checkpoint holds, and each weight's gradient."""
        return hash_of(self.tracked.state(self.step_number), self.gradients())

    def gradients(self) -> dict[str, Tensor | None]:
        return {name: weight.grad for name, weight in self.model.named_parameters()}

    def weights(self) -> dict[str, str]:
        return {name: hash_of(weight) for name, weight in self.model.named_parameters()}


def hash_of(*state: Any) -> str:
    plain, tensors = pack(list(state))
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
