"""A configuration is checked as a whole; every fault is named by its path."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.errors import InvalidInput
from trainer.configure import configure, json_schema
from trainer.files import read_params

CONFIGS = Path(__file__).parents[2] / "trainer" / "configs"

ISSUE = {
    "experiment": "digits",
    "seed": 0,
    "data": {
        "name": "digits",
        "batch_size": 64,
        "augmentation": {},
        "placement": "auto",
        "workers": 2,
    },
    "model": {"name": "cnn", "dropout": 0.3},
    "loss": {"name": "cross_entropy", "label_smoothing": 0.0},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    "scheduler": {"name": "constant"},
    "train": {
        "epochs": 12,
        "eval_every": "1 epoch",
        "checkpoint_every": "100 steps",
        "device": "auto",
        "precision": "fp32",
        "grad_clip": None,
        "deterministic": True,
        "compile": False,
        "channels_last": False,
    },
}


def test_everything_has_the_documented_default() -> None:
    assert configure({}) == configure(ISSUE)


@pytest.mark.parametrize("file", sorted(CONFIGS.iterdir()), ids=lambda file: file.name)
def test_what_is_shipped_is_valid(file: Path) -> None:
    assert configure(read_params(file)).experiment == file.stem


def test_defaults_are_those_of_the_thing_chosen() -> None:
    optimizer = configure({"optimizer": {"name": "adamw"}}).optimizer
    assert optimizer.options["lr"] == 0.001
    assert optimizer.options["weight_decay"] == 0.01
    assert "momentum" not in optimizer.options
    assert "dropout" not in configure({"model": {"name": "resnet18"}}).model.options
    assert configure({"optimizer": {"lr": 1}}).optimizer.options["momentum"] == 0.9


def test_a_class_name_is_as_good_and_is_recorded_under_the_plain_one() -> None:
    config = configure(
        {"optimizer": {"name": "AdamW"}, "scheduler": {"name": "OneCycleLR", "max_lr": 1}}
    )
    assert config.optimizer.name == "adamw"
    assert config.scheduler.name == "one_cycle_lr"
    assert config.scheduler.step_every is None, "the schedule's own beat, whatever it is by then"


def test_what_is_recorded_configures_the_same_training() -> None:
    raw: dict[str, JsonValue] = {
        "data": {"name": "fake", "augmentation": {"shift": 2, "flip": True}},
        "optimizer": {"name": "adam", "betas": [0.8, 0.99]},
        "scheduler": {"name": "cosine_annealing_lr"},
    }
    config = configure(raw)
    assert configure(config.model_dump(mode="json")) == config


def faults(raw: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        configure(raw)
    return {fault.path: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("raw", "path", "message"),
    [
        ([], "", "must be an object, not []"),
        ({"optimiser": {}}, "optimiser", "is not a known key"),
        ({"train": {"epoch": 3}}, "train.epoch", "is not a known key"),
        ({"train": {"epochs": 0}}, "train.epochs", "must be at least 1, not 0"),
        ({"train": {"epochs": 1.5}}, "train.epochs", "must be a whole number, not 1.5"),
        ({"train": {"epochs": True}}, "train.epochs", "must be a whole number, not true"),
        ({"train": {"eval_every": "soon"}}, "train.eval_every", '"100 steps" or "1 epoch"'),
        ({"train": {"checkpoint_every": "0 steps"}}, "train.checkpoint_every", "at least 1"),
        ({"train": {"device": "tpu"}}, "train.device", "auto, cpu, cuda or cuda:<number>"),
        ({"train": {"precision": "fp8"}}, "train.precision", "'fp32', 'bf16' or 'fp16'"),
        ({"train": {"compile": 1}}, "train.compile", "must be true or false"),
        ({"train": {"channels_last": "no"}}, "train.channels_last", "must be true or false"),
        ({"data": {"placement": "disk"}}, "data.placement", "'auto', 'resident' or 'loader'"),
        ({"data": {"workers": -1}}, "data.workers", "must be at least 0"),
        ({"train": {"grad_clip": 0}}, "train.grad_clip", "must be above 0, not 0"),
        ({"train": {"deterministic": "false"}}, "train.deterministic", "must be true or false"),
        ({"train": []}, "train", "must be an object"),
        ({"seed": -1}, "seed", "must be at least 0, not -1"),
        ({"seed": 2**32}, "seed", "must be below"),
        ({"experiment": "a b"}, "experiment", "must match"),
        ({"data": {"name": "digit"}}, "data.name", "Did you mean digits? Allowed: cifar10, digits"),
        ({"data": {"name": "folder"}}, "data.path", "is missing"),
        ({"data": {"batch_size": 0}}, "data.batch_size", "must be at least 1"),
        ({"data": {"augmentation": {"spin": 1}}}, "data.augmentation.spin", "Allowed: flip, shift"),
        ({"data": {"augmentation": {"shift": -1}}}, "data.augmentation.shift", "at least 0"),
        ({"data": {"augmentation": {"flip": 1}}}, "data.augmentation.flip", "true or false, not 1"),
        ({"model": {"name": "cnn", "droput": 0.1}}, "model.droput", "Did you mean dropout?"),
        ({"model": {"dropout": 1.0}}, "model.dropout", "must be below 1, not 1.0"),
        ({"model": {"name": 3}}, "model.name", "must be a string, not 3"),
        ({"model": {"name": "resnet18", "dropout": 0.1}}, "model.dropout", "Allowed: resize"),
        ({"loss": {"label_smoothing": 2}}, "loss.label_smoothing", "must be at most 1"),
        ({"optimizer": {"momentum": -1}}, "optimizer.momentum", "must be at least 0, not -1"),
        ({"optimizer": {"lr": "0.1"}}, "optimizer.lr", "must be a number, not '0.1'"),
        ({"optimizer": {"lr": True}}, "optimizer.lr", "must be a number, not true"),
        (
            {"optimizer": {"name": "adam", "momentum": 0.9}},
            "optimizer.momentum",
            "Allowed: amsgrad",
        ),
        ({"optimizer": {"name": "lbfgs"}}, "optimizer.name", "no optimizer is named 'lbfgs'"),
        ({"scheduler": {"name": "step_lr"}}, "scheduler.step_size", "is missing"),
        ({"scheduler": {"name": "lambda_lr"}}, "scheduler.name", "Allowed: constant"),
        ({"scheduler": {"step_every": "1 step"}}, "scheduler.step_every", "never steps"),
        (
            {"scheduler": {"name": "reduce_lr_on_plateau", "step_every": "1 step"}},
            "scheduler.step_every",
            "steps at each evaluation",
        ),
    ],
)
def test_a_fault_is_named_by_its_path_with_what_is_allowed(
    raw: Any, path: str, message: str
) -> None:
    found = faults(raw)
    assert list(found) == [path]
    assert message in found[path]


def test_all_faults_are_told_at_once() -> None:
    raw = {
        "train": {"epochs": "many"},
        "optimizer": {"name": "sdg"},
        "model": {"depth": 3},
        "data": {"augmentation": {"shift": "far"}},
        "sead": 1,
    }
    assert set(faults(raw)) == {
        "train.epochs",
        "optimizer.name",
        "model.depth",
        "data.augmentation.shift",
        "sead",
    }


def test_nan_in_options_is_refused() -> None:
    assert "finite" in faults({"optimizer": {"lr": float("nan")}})["optimizer.lr"]
    assert (
        "finite"
        in faults({"scheduler": {"name": "exponential_lr", "gamma": float("inf")}})[
            "scheduler.gamma"
        ]
    )


def test_the_schema_knows_every_choice_and_its_options() -> None:
    schema = json_schema()
    sections = schema["$defs"]
    assert schema["additionalProperties"] is False
    assert "resnet18" in sections["Model"]["properties"]["name"]["enum"]
    adam = next(
        choice
        for choice in sections["Optimizer"]["anyOf"]
        if choice["properties"]["name"]["const"] == "adam"
    )
    rate = adam["properties"]["lr"]
    assert (rate["type"], rate["default"]) == ("number", 0.001)
    assert BUILT_IN["optimizer.lr"].bounds() == {
        "gt" if "exclusive" in word else "ge": bound
        for word, bound in rate.items()
        if word in ("minimum", "exclusiveMinimum")
    }
    assert adam["additionalProperties"] is False
    assert adam["required"] == ["name"]
    assert set(sections["Data"]["properties"]["augmentation"]["properties"]) == {"flip", "shift"}
