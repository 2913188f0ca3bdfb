"""A training program that is stepped by hand and tells, by ways of its own, what each step used.

It runs in a process of its own. The test says over a pipe when to take a step; what the step used
is read where it is used (in the forward pass, at the optimizer's step) and appended to a file that
Midcourse knows nothing of.
"""

import hashlib
import json
import os
import signal
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

import midcourse
from midcourse import link
from midcourse.checkpoints.writing import WriterProcess
from midcourse.contract.commands import Command
from midcourse.journal import Journal
from midcourse.mailbox import Mailbox
from midcourse.recorder import Recorder
from midcourse.session import Session

SAMPLES = 40
BATCH_SIZE = 8
EPOCHS = 12
RATE_OF_HEAD = 0.1
"""The second param group's rate, as a share of the first one's."""
FAULTY_NOISE = 0.66
"""The program's own check breaks down over this value."""
MOST_SMOOTHING = 0.5
"""The loss does not take more, though the parameter's bounds allow it."""

PLACES = {
    "journalled": (Journal, "intend"),
    "concluded": (Journal, "conclude"),
    "refused": (Journal, "refuse"),
    "scheduled": (Journal, "schedule"),
    "captured": (WriterProcess, "write"),
    "logged": (Recorder, "flush"),
    "reported": (Recorder, "record"),
    "posted": (Mailbox, "post"),
}
"""Where SIGKILL may strike, each time just after the call."""


class SideChannel:
    """A file of JSON lines, each appended in one write: a killed process leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, **what: Any) -> None:
        os.write(self._file, json.dumps(what).encode() + b"\n")


class Loss(nn.CrossEntropyLoss):
    """Takes a label smoothing of at most a half, and says nothing of it."""

    used: float

    @property
    def label_smoothing(self) -> float:
        return self._smoothing

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self._smoothing = min(value, MOST_SMOOTHING)

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        self.used = self.label_smoothing
        return super().forward(*given)


class Dropout(nn.Dropout):
    """Knows what it dropped last."""

    used: float

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        assert self.training
        self.used = self.p
        return super().forward(*given)


def make_model() -> nn.Module:
    body = nn.Sequential()
    body.add_module("linear", nn.Linear(6, 10))
    body.add_module("relu", nn.ReLU())
    body.add_module("drop", Dropout(0.2))
    head = nn.Sequential()
    head.add_module("linear", nn.Linear(10, 8))
    head.add_module("drop", Dropout(0.1))
    head.add_module("out", nn.Linear(8, 3))
    model = nn.Sequential()
    model.add_module("body", body)
    model.add_module("head", head)
    return model


def check_noise(value: float) -> None:
    if value == FAULTY_NOISE:
        raise ZeroDivisionError("the program's own check has a bug")


def train(channel: Connection, environment: dict[str, str], home: Path) -> None:
    """Train the run that the environment names, from wherever it stands, a step an order.

    Args:
        channel: says `("ready", run, step, writer)` before each step, `("over",)` at the end of
            the run or `("failed", traceback)`; takes `"step"` and `("strike", place, count)`.
        environment: the variables that a launcher would set.
        home: the folder of all runs.
    """
    for name in [name for name in os.environ if name.startswith("MIDCOURSE_")]:
        del os.environ[name]
    os.environ.update(environment)
    link._LONGEST_PAUSE = 0.05
    torch.set_num_threads(1)
    try:
        _train(channel, home)
        channel.send(("over",))
    except BaseException:
        channel.send(("failed", traceback.format_exc()))


def _train(channel: Connection, home: Path) -> None:
    used = SideChannel(home / "used.jsonl")
    _watch_mailbox(SideChannel(home / "posted.jsonl"))
    writers = _watch_writers()
    generator = torch.Generator().manual_seed(1)
    data = torch.randn(SAMPLES, 6, generator=generator)
    labels = torch.randint(0, 3, (SAMPLES,), generator=generator)
    with midcourse.start("truth", seed=5, home=home, checkpoint_every="4 steps", keep=1000) as run:
        model, loss_function = make_model(), Loss()
        groups = [
            {"params": model.body.parameters(), "lr": 0.1},
            {"params": model.head.parameters(), "lr": 0.1 * RATE_OF_HEAD},
        ]
        optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=0.01)
        run.track(model=model, optimizer=optimizer, loss=loss_function)
        noise = run.live("noise", 0.1, ge=0.0, le=1.0, check=check_noise)
        for inputs, targets in run.batches((data, labels), batch_size=BATCH_SIZE, epochs=EPOCHS):
            _await_order(run, channel, writers[-1])
            heard, weights_used = noise.value, _hashes(model)
            loss = loss_function(model(inputs + heard * torch.randn_like(inputs)), targets)
            optimizer.zero_grad()
            loss.backward()
            held = _holdings(optimizer)
            before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
            optimizer.step()
            weights = dict(model.named_parameters())
            used.say(
                run=run.id,
                step=run.current_step,
                samples=len(inputs),
                loss=loss.item(),
                noise=heard,
                smoothing=loss_function.used,
                dropout={name: it.used for name, it in _dropouts(model)},
                frozen=[name for name, weight in weights.items() if not weight.requires_grad],
                weights=weights_used,
                left=_hashes(model),
                moved=[name for name in weights if not torch.equal(before[name], weights[name])],
                **held,
            )
            run.log({"train/loss": loss})
            run.step()


def _holdings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's class, and what its groups hold."""
    told: dict[str, Any] = {"optimizer": type(optimizer).__name__.lower()}
    for option in ("lr", "momentum", "betas", "weight_decay"):
        told[option] = [group.get(option) for group in optimizer.param_groups]
    return told


def _hashes(model: nn.Module) -> dict[str, str]:
    """What each layer holds, as receipts tell it."""
    return {name: _hash(it) for name, it in model.named_modules() if isinstance(it, nn.Linear)}


def _hash(layer: nn.Linear) -> str:
    digest = hashlib.sha256()
    for name, tensor in (("bias", layer.bias), ("weight", layer.weight)):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().numpy().tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def _dropouts(model: nn.Module) -> list[tuple[str, Dropout]]:
    return [(name, it) for name, it in model.named_modules() if isinstance(it, Dropout)]


def _watch_mailbox(posted: SideChannel) -> None:
    """Tell of each command that the link has handed over, be it known already or not."""
    post = Mailbox.post

    def post_and_tell(mailbox: Mailbox, command: Command) -> None:
        post(mailbox, command)
        posted.say(run=command.run, seq=command.seq)

    Mailbox.post = post_and_tell  # type: ignore[method-assign]


def _watch_writers() -> list[int]:
    """The process ids of all checkpoint writers that are started from now on."""
    start = WriterProcess._start
    started: list[int] = []

    def start_and_note(writer: WriterProcess) -> None:
        start(writer)
        started.append(writer._process.pid)

    WriterProcess._start = start_and_note  # type: ignore[method-assign]
    return started


def _await_order(run: Session, channel: Connection, writer: int) -> None:
    channel.send(("ready", run.id, run.current_step, writer))
    while True:
        order = channel.recv()
        if order == "step":
            return
        _strike_at(*order[1:])


def _strike_at(place: str, count: int) -> None:
    owner, name = PLACES[place]
    original = getattr(owner, name)
    countdown = iter(range(count - 1, -1, -1))

    def striking(*args: Any, **options: Any) -> Any:
        outcome = original(*args, **options)
        if next(countdown, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    setattr(owner, name, striking)
