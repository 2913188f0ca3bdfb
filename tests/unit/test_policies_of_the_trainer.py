"""Policies in the trainer's configuration."""

from typing import Any

import pytest

from midcourse.contract.errors import InvalidInput
from midcourse.policies.kinds import KINDS
from trainer.configure import configure, json_schema

SMALLEST: dict[str, dict[str, Any]] = {
    "non_finite": {},
    "spike": {},
    "plateau": {"patience": 3},
    "early_stop": {"patience": 3},
    "target": {"mode": "max", "value": 0.98},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_gets_its_defaults(kind: str) -> None:
    given = {"kind": kind, "metric": "test/loss", **SMALLEST[kind]}
    config = configure({"policies": [given]})
    [made] = config.model_dump(mode="json")["policies"]
    assert made == {**made, **given, "every": "1 step", "name": None}
    assert configure(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("policies", "fault"),
    [
        ([{"kind": "spike", "metric": "a", "window": 1}], "policies.0.window: must be at least 4"),
        ([{"kind": "spik", "metric": "a"}], "policies.0.kind: is no kind of policy. Did you mean"),
        ([{"kind": "spike", "metric": "a", "windw": 9}], "policies.0.windw: is not a setting of"),
        ([3], "policies.0: must be an object"),
        ({}, "policies: must be a list, not {}"),
    ],
)
def test_a_fault_is_told_once_by_its_path(policies: Any, fault: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        configure({"policies": policies, "seed": -1})
    told = [str(each) for each in refused.value.faults]
    assert len(told) == 2
    assert sum(each.startswith(fault) for each in told) == 1


def test_the_schema_has_every_kind() -> None:
    schema = json_schema()
    kinds = schema["properties"]["policies"]["items"]["discriminator"]["mapping"]
    assert kinds.keys() == KINDS.keys()
    for reference in kinds.values():
        definition = schema["$defs"][reference.rpartition("/")[2]]
        assert definition["additionalProperties"] is False
