import math
from typing import Any

import pytest

from midcourse.contract.parameters import BUILT_IN, LiveParameter, check_changes

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
    assert checked == {"optimizer.lr": 0.1}
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
