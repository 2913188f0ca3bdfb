"""Live parameters of optimizer, model and loss, several at once, and in checkpoints."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from midcourse.contract.errors import InvalidInput
from midcourse.contract.parameters import LiveParameter
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
    _, after = thing.parameters.apply(thing.parameters.check(dotted))
    return dict(after)


def layer() -> nn.Linear:
    return nn.Linear(3, 2)


def train_a_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()


Make = Callable[..., torch.optim.Optimizer]
OPTIMIZERS: dict[str, tuple[Make, set[str]]] = {
    "SGD": (torch.optim.SGD, {"lr", "momentum", "weight_decay"}),
    "Adam": (torch.optim.Adam, {"lr", "momentum", "weight_decay"}),
    "AdamW": (torch.optim.AdamW, {"lr", "momentum", "weight_decay"}),
    "NAdam": (torch.optim.NAdam, {"lr", "momentum", "weight_decay"}),
    "RAdam": (torch.optim.RAdam, {"lr", "momentum", "weight_decay"}),
    "Adamax": (torch.optim.Adamax, {"lr", "momentum", "weight_decay"}),
    "RMSprop": (torch.optim.RMSprop, {"lr", "momentum", "weight_decay"}),
    "Adagrad": (torch.optim.Adagrad, {"lr", "weight_decay"}),
    "Adadelta": (torch.optim.Adadelta, {"lr", "weight_decay"}),
    "ASGD": (torch.optim.ASGD, {"lr", "weight_decay"}),
    "Rprop": (torch.optim.Rprop, {"lr"}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_brings_what_its_groups_hold(name: str) -> None:
    make, expected = OPTIMIZERS[name]
    model = layer()
    optimizer = make(model.parameters(), lr=0.01)
    parameters = tracked(optimizer=optimizer).parameters
    assert {key.removeprefix("optimizer.") for key in parameters.values()} == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_trains_on_after_every_change(name: str) -> None:
    """As one that began with the values: nothing that it makes at its first step is missing."""
    make, expected = OPTIMIZERS[name]
    model = layer()
    optimizer = make(model.parameters(), lr=0.01)
    thing = tracked(optimizer=optimizer)
    train_a_step(model, optimizer)
    for value in (0.5, 0.0, 0.25):
        changes = {f"optimizer__{key}": value for key in expected - {"lr"}}
        after = set_values(thing, optimizer__lr=0.1 + value, **changes)
        assert set(after.values()) <= {value, 0.1 + value}
        train_a_step(model, optimizer)
        assert thing.parameters.values() == after


def test_rmsprop_that_gets_momentum_trains_as_if_it_had_begun_now() -> None:
    model = layer()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
    thing = tracked(model=model, optimizer=optimizer)
    train_a_step(model, optimizer)
    assert all("momentum_buffer" not in state for state in optimizer.state.values())
    set_values(thing, optimizer__momentum=0.9)
    for state in optimizer.state.values():
        assert state["momentum_buffer"].eq(0).all()
    train_a_step(model, optimizer)
    assert any(state["momentum_buffer"].ne(0).any() for state in optimizer.state.values())


def test_momentum_is_the_first_beta_and_leaves_the_second() -> None:
    optimizer = torch.optim.AdamW(layer().parameters(), betas=(0.8, 0.95))
    after = set_values(tracked(optimizer=optimizer), optimizer__momentum=0.5)
    assert after == {"optimizer.momentum": 0.5}
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.95)


def test_nesterov_needs_some_momentum() -> None:
    optimizer = torch.optim.SGD(layer().parameters(), lr=0.1, momentum=0.9, nesterov=True)
    with pytest.raises(InvalidInput, match=r"optimizer.momentum: must be above 0 with nesterov"):
        set_values(tracked(optimizer=optimizer), optimizer__momentum=0)
    assert optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("decays", "value", "expected"),
    [
        ((0.0, 0.1, 0.2), 0.3, [0.0, 0.3, 0.6]),
        ((0.2, 0.0, 0.1), 0.0, [0.0, 0.0, 0.0]),
        ((0.0, 0.0, 0.0), 0.3, [0.3, 0.3, 0.3]),
    ],
)
def test_weight_decay_keeps_the_groups_ratios(
    decays: tuple[float, ...], value: float, expected: list[float]
) -> None:
    groups = [{"params": layer().parameters(), "weight_decay": decay} for decay in decays]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    after = set_values(tracked(optimizer=optimizer), optimizer__weight_decay=value)
    assert after == {"optimizer.weight_decay": value}
    found = [group["weight_decay"] for group in optimizer.param_groups]
    assert found == pytest.approx(expected)


def test_dropout_is_set_in_all_layers_and_kept_by_name() -> None:
    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout2d(0.3)), layer())
    thing = tracked(model=model)
    assert thing.parameters.values() == {"model.dropout": None}
    saved = thing.parameters.state()
    assert set_values(thing, model__dropout=0.5) == {"model.dropout": 0.5}
    assert [model[0].p, model[1][0].p] == [0.5, 0.5]
    thing.parameters.load_state(saved)
    assert [model[0].p, model[1][0].p] == [0.1, 0.3]


def test_label_smoothing_acts_on_the_loss() -> None:
    loss = nn.CrossEntropyLoss()
    logits, target = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    before = loss(logits, target).item()
    assert set_values(tracked(loss=loss), loss__label_smoothing=1) == {"loss.label_smoothing": 1.0}
    assert loss(logits, target).item() > before


def test_what_a_run_does_not_have_is_not_declared() -> None:
    thing = tracked(model=layer(), loss=nn.MSELoss())
    assert thing.parameters.values() == {}
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
        table.add(Attribute(LiveParameter(name=name, type="number"), owner, "value"))
    return table


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
        table.apply({"calm": 0.9, "grumpy": value})
    assert table.values() == {"calm": 0.5, "grumpy": 1.0}
    assert table.apply({"calm": 0.9, "grumpy": 2.0}) == (
        {"calm": 0.5, "grumpy": 1.0},
        {"calm": 0.9, "grumpy": 2.0},
    )


def test_all_faults_of_several_changes_are_told() -> None:
    table = table_with(grumpy=Grumpy(), calm=LiveValue(0.5))
    with pytest.raises(InvalidInput) as caught:
        table.check({"calm": "x", "grumpy": True, "clam": 1})
    assert [fault.path for fault in caught.value.faults] == ["calm", "grumpy", "clam"]


def test_a_parameter_declared_after_loading_takes_what_was_loaded() -> None:
    table = LiveTable()
    table.load_state({"noise": 0.7})
    value = LiveValue(0.1)
    table.add(Attribute(LiveParameter(name="noise", type="number"), value, "value"))
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
