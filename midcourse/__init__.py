"""Change the course of a machine-learning run while it trains, exactly and on the record.

```python
import torch
import midcourse

features, labels = torch.randn(512, 8), torch.randint(0, 2, (512,))
with midcourse.start(experiment="my-net", config={"hidden": 16}, seed=0) as run:
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_function = torch.nn.CrossEntropyLoss()
    run.track(model=model, optimizer=optimizer, loss=loss_function)
    noise = run.live("noise", 0.1, ge=0.0, le=1.0)
    for inputs, targets in run.batches((features, labels), batch_size=64, epochs=5):
        loss = loss_function(model(inputs + noise.value * torch.randn_like(inputs)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"train/loss": loss})
        run.step()
```

What is tracked is kept in checkpoints and, where Midcourse knows it, steered: here `optimizer.lr`,
`optimizer.momentum`, `optimizer.weight_decay`, `model.dropout`, `loss.label_smoothing`,
`train.epochs` and the program's own `noise`. `run.batches` decides the order of the samples, so
that it can go on at the right one after a crash or in a fork. `run.log` takes device tensors and
never waits for the device. `run.step` is the step boundary: commands act there and nowhere else.

Everything is written below `./.midcourse` (`MIDCOURSE_HOME`): the run log, the journal, the
checkpoints. W&B gets it from there: offline unless `WANDB_API_KEY` is set. With no control API
configured the program simply trains and logs. To go on with an interrupted run, start the program
again with `MIDCOURSE_RUN_ID` set to its id.

`midcourse.contract` and `midcourse.Client`, which speaks to a control API, can be had without
torch; the other names below load it when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from midcourse.version import __version__

if TYPE_CHECKING:
    from midcourse.client import Client
    from midcourse.contract.media import Bars, ConfusionMatrix, Table
    from midcourse.errors import Interrupted, InvalidInput, MidcourseError
    from midcourse.live.value import LiveValue
    from midcourse.pictures import Images
    from midcourse.session import Session
    from midcourse.starting import start

_HOMES = {
    "Bars": "midcourse.contract.media",
    "Client": "midcourse.client",
    "ConfusionMatrix": "midcourse.contract.media",
    "Images": "midcourse.pictures",
    "Interrupted": "midcourse.errors",
    "InvalidInput": "midcourse.errors",
    "LiveValue": "midcourse.live.value",
    "MidcourseError": "midcourse.errors",
    "Session": "midcourse.session",
    "Table": "midcourse.contract.media",
    "start": "midcourse.starting",
}

__all__ = [
    "Bars",
    "Client",
    "ConfusionMatrix",
    "Images",
    "Interrupted",
    "InvalidInput",
    "LiveValue",
    "MidcourseError",
    "Session",
    "Table",
    "__version__",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'midcourse' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
