"""The configuration of a training, `params.json`: its keys, what they mean and their defaults."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.names import Experiment
from midcourse.interval import Interval


def _interval(text: str) -> str:
    return str(Interval.parse(text))


def _precision(name: str) -> str:
    if name == "fp16":
        raise ValueError(
            "fp16 needs a gradient scaler, which this trainer has not yet; use bf16 or fp32"
        )
    if name not in ("fp32", "bf16"):
        raise ValueError(f"must be fp32 or bf16, not {name[:40]!r}")
    return name


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
    """When the schedule steps. Null: every epoch; every step for one_cycle_lr and cyclic_lr."""


class Train(Record):
    """How long, how often, and on what."""

    epochs: int = Field(12, ge=1, le=1_000_000)
    eval_every: IntervalText = "1 epoch"
    """When the test pictures are tried; they always are at the end."""
    checkpoint_every: IntervalText | None = "100 steps"
    """When a checkpoint is taken; null: only at the start, at the best evaluation, at the end."""
    device: Annotated[str, AfterValidator(_device)] = "auto"
    """`cpu`, `cuda`, `cuda:<number>`; `auto` takes a GPU if there is one."""
    precision: Annotated[str, AfterValidator(_precision)] = Field(
        "fp32", json_schema_extra={"enum": ["fp32", "bf16"]}
    )
    """`bf16` computes in bfloat16 where that is safe; weights stay in float32."""
    grad_clip: float | None = Field(None, gt=0)
    """The gradient of all weights together is scaled down to this norm; null: left as it is."""
    deterministic: bool = True
    """Only algorithms that give the same bits each time; on a GPU it costs some speed."""


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
