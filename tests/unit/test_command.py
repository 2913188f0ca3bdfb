import json
from typing import Any

import pytest
from pydantic import ValidationError

from midcourse.contract.base import strict_json_loads, utc_now
from midcourse.contract.commands import Command
from midcourse.contract.errors import Fault, faults_of
from midcourse.contract.receipts import CommandState, Receipt

ACTIONS: list[dict[str, Any]] = [
    {"kind": "set", "changes": {"optimizer.lr": 0.1, "train.epochs": 3, "flag": True, "mode": "x"}},
    {"kind": "pause"},
    {"kind": "resume"},
    {"kind": "stop"},
    {"kind": "checkpoint", "pin": True},
    {"kind": "revert", "checkpoint": "step-500.1", "child": "r2", "changes": {}},
]


def command(action: dict[str, Any], **fields: Any) -> dict[str, Any]:
    at = utc_now().isoformat()
    return {"run": "r1", "seq": 1, "actor": "ada", "accepted_at": at, "action": action, **fields}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["kind"])
def test_a_command_survives_the_wire(action: dict[str, Any]) -> None:
    sent = Command.model_validate(command(action))
    assert Command.model_validate(strict_json_loads(sent.to_json())) == sent


def test_true_stays_true_and_one_stays_one() -> None:
    sent = Command.model_validate(
        command({"kind": "set", "changes": {"a": True, "b": 1, "c": 1.0}})
    )
    changes = json.loads(sent.to_json())["action"]["changes"]
    assert {name: type(value) for name, value in changes.items()} == {
        "a": bool,
        "b": int,
        "c": float,
    }


def test_a_receipt_survives_the_wire() -> None:
    receipt = Receipt(
        run="r1",
        seq=4,
        state=CommandState.REJECTED,
        step=0,
        before={"optimizer.lr": 0.1, "model.dropout": None},
        reason="no",
        faults=[Fault(path="optimizer.lr", message="is wrong", allowed={"gt": 0.0})],
        at=utc_now(),
    )
    assert Receipt.model_validate(strict_json_loads(receipt.to_json())) == receipt


@pytest.mark.parametrize(
    ("broken", "path", "message"),
    [
        (command({"kind": "set", "changes": {}}), "action.set.changes", "at least 1 item"),
        (command({"kind": "reboot"}), "action", "kind"),
        (command({"kind": "pause", "for": 3}), "action.pause.for", "is not a known key"),
        (command({"kind": "checkpoint", "pin": "yes"}), "action.checkpoint.pin", "true or false"),
        (
            command({"kind": "revert", "checkpoint": "../x", "child": "r2"}),
            "action.revert.checkpoint",
            "must match",
        ),
        (command({"kind": "pause"}, seq="1"), "seq", "must be a whole number, not '1'"),
        (command({"kind": "pause"}, seq=2**53), "seq", "must be at most 9.007"),
        (command({"kind": "pause"}, at={}), "at", "must name a step or an epoch"),
        (command({"kind": "pause"}, at={"step": 1, "epoch": 1}), "at", "must name a step or an ep"),
        (command({"kind": "pause"}, at={"step": -1}), "at.step", "must be at least 0"),
        (command({"kind": "resume", "steps": 0}), "action.resume.steps", "must be at least 1"),
        (command({"kind": "pause"}, run="R 1"), "run", "must match"),
    ],
)
def test_a_malformed_command_is_refused_by_path(
    broken: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Command.model_validate(broken)
    [fault] = faults_of(caught.value)
    assert fault.path == path
    assert message in fault.message


def test_a_command_cannot_be_altered() -> None:
    sent = Command.model_validate(command({"kind": "pause"}))
    with pytest.raises(ValidationError, match="frozen"):
        sent.seq = 2
