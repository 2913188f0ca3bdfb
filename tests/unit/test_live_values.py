"""Live parameters of model and loss, several at once, and in checkpoints."""

from typing import Any

import pytest
import torch
from torch import nn

from midcourse.contract.errors import InvalidInput
from midcourse.contract.live_parameter import Change, LiveParameter
from midcourse.live.attribute import Attribute
from midcourse.live.table import LiveTable, NotReadBack
from midcourse.live.value import LiveValue
from midcourse.tracked import Tracked


def tracked(**objects: Any) -> Tracked:
    made = Tracked()
    made.add(objects)
    return made


def set_values(thing: Tracked, **changes: Any) -> dict[str, Any]:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return thing.parameters.apply(thing.parameters.check(dotted)).after


def layer() -> nn.Linear:
    return nn.Linear(3, 2)


def test_label_smoothing_acts_on_the_loss() -> None:
    loss = nn.CrossEntropyLoss()
    logits, target = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    before = loss(logits, target).item()
    assert set_values(tracked(loss=loss), loss__label_smoothing=1) == {"loss.label_smoothing": 1.0}
    assert loss(logits, target).item() > before


def test_what_a_run_does_not_have_is_not_declared() -> None:
    thing = tracked(model=layer(), loss=nn.CTCLoss())
    assert thing.parameters.values() == {"model.frozen": []}
    with pytest.raises(InvalidInput, match="not a live parameter of this run"):
        thing.parameters.check({"model.dropout": 0.5})


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"meter": object()}, r"meter: a object has no state_dict\(\)"),
        ({"optimizer": 3}, r"optimizer: a int has no state_dict\(\)"),
        ({"model": layer()}, "model: is tracked already"),
    ],
)
def test_what_cannot_be_tracked_is_refused(objects: dict[str, Any], message: str) -> None:
    thing = tracked(model=layer())
    with pytest.raises(InvalidInput, match=message):
        thing.add(objects)


class Grumpy:
    """Holds a value and refuses one, or quietly keeps its own."""

    def __init__(self) -> None:
        self._value = 1.0

    @property
    def value(self) -> float:
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        if value == 13:
            raise RuntimeError("not thirteen")
        if value != 7:
            self._value = value


def table_with(*, grumpy: Grumpy, calm: LiveValue) -> LiveTable:
    table = LiveTable()
    for name, owner in (("calm", calm), ("grumpy", grumpy)):
        table.add(name, Attribute(LiveParameter(name=name, type="number"), owner, "value"))
    return table


def changes(table: LiveTable, **values: Any) -> dict[str, Change]:
    return table.check(values)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (13.0, RuntimeError, "not thirteen"),
        (7.0, NotReadBack, r"grumpy was set to 7.0 and read back as 1.0"),
    ],
)
def test_several_at_once_or_none(value: float, error: type[Exception], message: str) -> None:
    grumpy, calm = Grumpy(), LiveValue(0.5)
    table = table_with(grumpy=grumpy, calm=calm)
    with pytest.raises(error, match=message):
        table.apply(changes(table, calm=0.9, grumpy=value))
    assert table.values() == {"calm": 0.5, "grumpy": 1.0}
    applied = table.apply(changes(table, calm=0.9, grumpy=2.0))
    assert applied.before == {"calm": 0.5, "grumpy": 1.0}
    assert applied.after == {"calm": 0.9, "grumpy": 2.0}


def test_what_is_only_tried_leaves_everything_as_it_was() -> None:
    table = table_with(grumpy=Grumpy(), calm=LiveValue(0.5))
    tried = table.try_out(changes(table, calm=0.9, grumpy=2.0))
    assert (tried.before["calm"], tried.after["calm"]) == (0.5, 0.9)
    assert table.values() == {"calm": 0.5, "grumpy": 1.0}
    with pytest.raises(RuntimeError):
        table.try_out(changes(table, calm=0.9, grumpy=13.0))
    assert table.values() == {"calm": 0.5, "grumpy": 1.0}


class Pair(Attribute):
    """Holds a value of its own, and moves another one along."""

    def __init__(self, name: str, owner: LiveValue, other: LiveValue) -> None:
        super().__init__(LiveParameter(name=name, type="number"), owner, "value")
        self._other = other

    def apply(self, changes: Any) -> dict[str, Any]:
        self._other.value *= 2
        return super().apply(changes)


def test_what_changed_along_is_told_too() -> None:
    table, leader, follower = LiveTable(), LiveValue(1.0), LiveValue(3.0)
    table.add("follower", Attribute(LiveParameter(name="b", type="number"), follower, "value"))
    table.add("leader", Pair("a", leader, follower))
    applied = table.apply(table.check({"a": 5.0}))
    assert applied.before == {"b": 3.0, "a": 1.0}
    assert applied.after == {"b": 6.0, "a": 5.0}


def test_all_faults_of_several_changes_are_told() -> None:
    table = table_with(grumpy=Grumpy(), calm=LiveValue(0.5))
    with pytest.raises(InvalidInput) as caught:
        table.check({"calm": "x", "grumpy": True, "clam": 1})
    assert [fault.path for fault in caught.value.faults] == ["calm", "grumpy", "clam"]


def test_a_parameter_declared_after_loading_takes_what_was_loaded() -> None:
    table = LiveTable()
    table.load_state({"noise": 0.7})
    value = LiveValue(0.1)
    table.add("noise", Attribute(LiveParameter(name="noise", type="number"), value, "value"))
    assert value.value == 0.7


def test_a_state_that_does_not_fit_is_refused_and_can_be_undone() -> None:
    from midcourse.errors import CheckpointUnusable

    model = layer()
    thing = tracked(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    weights = model.weight.detach().clone()
    restore = thing.backup(5)
    other = tracked(model=nn.Linear(4, 4), optimizer=torch.optim.SGD(layer().parameters(), lr=0.5))
    with pytest.raises(CheckpointUnusable, match="the checkpoint's model does not fit"):
        thing.load(other.state(9))
    with pytest.raises(CheckpointUnusable, match="holds model, the program tracks model, optim"):
        thing.load(tracked(model=layer()).state(9))
    with torch.no_grad():
        model.weight.zero_()
    set_values(thing, optimizer__lr=0.9)
    restore()
    assert torch.equal(model.weight, weights)
    assert thing.parameters.values()["optimizer.lr"] == 0.1
