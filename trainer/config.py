"""The configuration of a training, `params.json`: its keys, what they mean and their defaults."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.interval import Interval
from midcourse.contract.names import Experiment
from midcourse.policies.kinds import AnySettings


def _interval(text: str) -> str:
    return str(Interval.parse(text))


def _device(name: str) -> str:
    kind, _, index = name.partition(":")
    if name in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdecimal()):
        return name
    raise ValueError(f"must be auto, cpu, cuda or cuda:<number>, not {name[:40]!r}")


IntervalText = Annotated[
    str,
    AfterValidator(_interval),
    Field(json_schema_extra={"examples": ["1 epoch", "100 steps"]}),
]


class Choice(Record):
    """Something registered, by name; further keys are its options."""

    model_config = ConfigDict(extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """What was set beside the keys that every choice of the kind has."""
        return dict(self.model_extra or {})


class Data(Choice):
    """What is learned from."""

    name: str = "digits"
    """A data set that is registered; `--list` prints them."""
    batch_size: int = Field(64, ge=1, le=1_000_000)
    """Pictures in one step."""
    augmentation: dict[str, JsonValue] = Field(default_factory=dict)
    """Random changes to the training pictures, by name, each with its one value."""
    placement: Literal["auto", "resident", "loader"] = "auto"
    """`resident`: kept on the device. `loader`: read by workers and sent batch by batch, ahead of
    their step. `auto`: resident if they fit in a quarter of the device's free memory."""
    workers: int = Field(2, ge=0, le=256)
    """Processes that read batches for the `loader` path; 0: the trainer reads them itself."""


class Model(Choice):
    """What learns."""

    name: str = "cnn"


class Loss(Choice):
    """What is made small."""

    name: str = "cross_entropy"


class Optimizer(Choice):
    """How each step changes the weights."""

    name: str = "sgd"


class Scheduler(Choice):
    """How the learning rate goes over time."""

    name: str = "constant"
    """`constant` leaves it as the optimizer has it."""
    step_every: IntervalText | None = None
    """When the schedule steps. Null: as the present schedule is made to, which is every step for
    one_cycle_lr and cyclic_lr, every epoch for others."""


class Train(Record):
    """How long, how often, and on what."""

    epochs: int = Field(12, ge=1, le=1_000_000)
    eval_every: IntervalText = "1 epoch"
    """When the test pictures are tried; they always are at the end."""
    checkpoint_every: IntervalText | None = "100 steps"
    """When a checkpoint is taken; null: only at the start, at the best evaluation, at the end."""
    device: Annotated[str, AfterValidator(_device)] = "auto"
    """`cpu`, `cuda`, `cuda:<number>`; `auto` takes a GPU if there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """`bf16` and `fp16` compute in half the bits where that is safe; weights stay in float32.
    `fp16` scales the loss, so that small gradients survive."""
    grad_clip: float | None = Field(None, gt=0)
    """The gradient of all weights together is scaled down to this norm; null: left as it is."""
    deterministic: bool = True
    """Only algorithms that give the same bits each time; on a GPU it costs some speed."""
    compile: bool = False
    """Compile the model with torch.compile, which takes a C++ compiler."""
    channels_last: bool = False
    """Keep a pixel's channels side by side in memory, which convolutions on a GPU prefer."""


class Config(Record):
    """All of a training. Everything has a default: `{}` trains a small CNN on digits."""

    experiment: Experiment = "digits"
    """What is being found out; it groups runs."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Of every random number: weights, order of the pictures, dropout, augmentation."""
    data: Data = Field(default_factory=Data)
    model: Model = Field(default_factory=Model)
    loss: Loss = Field(default_factory=Loss)
    optimizer: Optimizer = Field(default_factory=Optimizer)
    scheduler: Scheduler = Field(default_factory=Scheduler)
    train: Train = Field(default_factory=Train)
    policies: list[AnySettings] = Field(default_factory=list)
    """Guard rails, which act in this order; docs/policies.md has the kinds and their settings."""
