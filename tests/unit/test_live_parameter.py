import math
import re
from typing import Any

import pytest

from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.live_parameter import LiveParameter
from midcourse.contract.parameters import check_changes

LR = BUILT_IN["optimizer.lr"]
MOMENTUM = BUILT_IN["optimizer.momentum"]
EPOCHS = BUILT_IN["train.epochs"]
FLAG = LiveParameter(name="flag", type="boolean")
MODE = LiveParameter(name="mode", type="string", choices=["fast", "slow"])


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (LR, True, "must be a number above 0, not true"),
        (LR, "0.1", 'must be a number above 0, not the string "0.1"'),
        (LR, None, "must be a number above 0, not null"),
        (LR, [0.1], r"must be a number above 0, not \[0.1\]"),
        (LR, math.nan, "must be a finite number above 0, not nan"),
        (LR, math.inf, "must be a finite number above 0, not inf"),
        (LR, 10**400, "must be a finite number above 0, not 1000"),
        (LR, 0, "must be a number above 0, not 0"),
        (LR, -1e-9, "must be a number above 0, not -1e-09"),
        (MOMENTUM, 1.0, "must be a number at least 0 and below 1, not 1.0"),
        (EPOCHS, 2.0, "must be a whole number at least 1 and at most 1000000, not 2.0"),
        (EPOCHS, True, "must be a whole number at least 1 and at most 1000000, not true"),
        (EPOCHS, 0, "must be a whole number at least 1 and at most 1000000, not 0"),
        (FLAG, 1, "must be true or false, not 1"),
        (FLAG, "false", 'must be true or false, not the string "false"'),
        (MODE, 3, "must be a string, not 3"),
        (MODE, "medium", "must be one of fast, slow, not 'medium'"),
    ],
)
def test_refuses_in_one_sentence(parameter: LiveParameter, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parameter.check(value)


@pytest.mark.parametrize(
    ("parameter", "value", "held"),
    [
        (LR, 1, 1.0),
        (MOMENTUM, 0, 0.0),
        (EPOCHS, 3, 3),
        (FLAG, False, False),
        (MODE, "slow", "slow"),
    ],
)
def test_a_value_is_held_as_its_type(parameter: LiveParameter, value: Any, held: Any) -> None:
    checked = parameter.check(value)
    assert checked == held
    assert type(checked) is type(held)


def test_all_faults_are_told_at_once_and_a_near_miss_is_named() -> None:
    checked, faults = check_changes(
        BUILT_IN, {"optimizer.lr": 0.1, "optimizer.momentun": 0.5, "train.epochs": True}
    )
    assert {name: change.value for name, change in checked.items()} == {"optimizer.lr": 0.1}
    assert [fault.path for fault in faults] == ["optimizer.momentun", "train.epochs"]
    assert "Did you mean optimizer.momentum?" in faults[0].message
    assert faults[0].allowed == sorted(BUILT_IN)


def test_a_built_in_that_the_run_lacks_is_told_as_such() -> None:
    _, [fault] = check_changes({}, {"model.dropout": 0.5})
    assert fault.message == "is not a live parameter of this run. Allowed: none"


def test_the_schema_says_type_and_bounds() -> None:
    schema = MOMENTUM.json_schema()
    assert (schema["type"], schema["minimum"], schema["exclusiveMaximum"]) == ("number", 0.0, 1.0)
    assert MODE.json_schema()["enum"] == ["fast", "slow"]


@pytest.mark.parametrize(
    ("said", "value", "mode"),
    [
        (0.1, 0.1, "rebase"),
        ({"value": 2}, 2.0, "rebase"),
        ({"value": 2, "mode": "scale"}, 2.0, "scale"),
    ],
)
def test_a_value_may_stand_beside_the_way_it_is_meant(said: Any, value: float, mode: str) -> None:
    change = LR.parse(said)
    assert (change.value, change.ways) == (value, {"mode": mode})
    assert LR.parse(change.said) == change


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("optimizer.lr", {"mode": "scale"}, "needs a 'value' beside mode"),
        (
            "optimizer.lr",
            {"value": 1, "way": 2},
            "has no 'way'; beside the value there may be: mode",
        ),
        (
            "optimizer.lr",
            {"value": 1, "mode": "x"},
            'mode must be one of "rebase", "override", "scale", not "x"',
        ),
        (
            "data.batch_size",
            {"value": 8, "scale_lr": 1},
            "scale_lr must be one of false, true, not 1",
        ),
        ("optimizer.betas", [0.9], "must be 2 numbers, each at least 0 and below 1, not [0.9]"),
        ("optimizer.betas", [0.9, True], "must be 2 numbers, each at least 0 and below 1"),
        ("optimizer.betas", [0.9, 1], "must be 2 numbers, each at least 0 and below 1"),
        ("model.frozen", "features", "must be a list of layer patterns, not the string"),
        ("model.frozen", [""], "must be a list of layer patterns"),
        ("model.dropout", {"a": 1.0}, "must be a number at least 0 and below 1, not 1.0"),
        ("train.grad_clip", 0, "must be a number above 0, or null, not 0"),
        (
            "train.eval_every",
            None,
            'must be an interval such as "100 steps" or "1 epoch", not null',
        ),
        ("train.eval_every", "often", "must be an interval such as"),
        ("train.precision", "fp8", "must be one of fp32, bf16, fp16, not 'fp8'"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(name: str, said: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        BUILT_IN[name].parse(said)


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("train.grad_clip", None, None),
        ("train.checkpoint_every", " 5 step", "5 steps"),
        ("model.frozen", ["a", "b", "a"], ["a", "b"]),
        ("optimizer.betas", [0, 0.5], [0.0, 0.5]),
        ("model.dropout", {"a.*": 0}, {"a.*": 0.0}),
    ],
)
def test_a_change_is_understood(name: str, said: Any, value: Any) -> None:
    assert BUILT_IN[name].parse(said).value == value


def test_the_schema_says_every_form_that_is_taken() -> None:
    forms = BUILT_IN["data.batch_size"].json_schema()["anyOf"]
    assert forms[0] == {"type": "integer", "minimum": 1.0, "maximum": 1_000_000.0}
    assert forms[1]["properties"] == {"value": forms[0], "scale_lr": {"enum": [False, True]}}
    assert {"type": "null"} in BUILT_IN["train.grad_clip"].json_schema()["anyOf"]
    betas = BUILT_IN["optimizer.betas"].json_schema()
    assert (betas["minItems"], betas["maxItems"], betas["items"]["minimum"]) == (2, 2, 0.0)
    per_layer = BUILT_IN["model.dropout"].json_schema()["anyOf"][1]
    assert per_layer["additionalProperties"]["exclusiveMaximum"] == 1.0
