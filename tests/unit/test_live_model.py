"""`model.dropout` and layer patterns; what is frozen has tests of its own."""

from typing import Any

import pytest
import torch
from torch import nn
from tracked_model import Training, make_model

from midcourse.contract.errors import InvalidInput
from midcourse.live.layers import fits, shortest

NAMES = ["features.0.weight", "features.0.bias", "features.1.weight", "head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("features", NAMES[:3]),
        ("features.*", NAMES[:3]),
        ("features.0", NAMES[:2]),
        ("features.?", NAMES[:3]),
        ("*.bias", ["features.0.bias", "head.bias"]),
        ("head.weight", ["head.weight"]),
        ("feature", []),
        ("features.", []),
        ("Head", []),
        ("*", NAMES),
    ],
)
def test_a_pattern_fits_names_and_everything_below_a_module(
    pattern: str, expected: list[str]
) -> None:
    assert [name for name in NAMES if fits(pattern, name)] == expected


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ([], []),
        (NAMES, ["*"]),
        (NAMES[:3], ["features"]),
        (NAMES[:2], ["features.0"]),
        (["features.0.bias", "head.bias"], ["features.0.bias", "head.bias"]),
        ([*NAMES[:3], "head.bias"], ["features", "head.bias"]),
        (["features.1.weight"], ["features.1"]),
    ],
)
def test_names_are_told_in_their_shortest_form(chosen: list[str], told: list[str]) -> None:
    assert shortest(chosen, NAMES) == told
    assert [name for name in NAMES if any(fits(it, name) for it in told)] == chosen


def test_dropout_is_a_number_where_the_layers_agree_and_an_object_where_not() -> None:
    training = Training()
    first, second = training.model.features[3], training.model.classifier[0]
    assert training.values()["model.dropout"] == {"features.3": 0.1, "classifier.0": 0.2}
    assert training.set({"model.dropout": 0.5}).after == {"model.dropout": 0.5}
    assert [first.p, second.p] == [0.5, 0.5]
    applied = training.set({"model.dropout": {"classifier": 0.25}})
    assert applied.before == {"model.dropout": 0.5}
    assert applied.after == {"model.dropout": {"features.3": 0.5, "classifier.0": 0.25}}
    assert [first.p, second.p] == [0.5, 0.25]


def test_later_dropout_patterns_win() -> None:
    training = Training()
    training.set({"model.dropout": {"*": 0.4, "classifier.*": 0.3}})
    assert training.values()["model.dropout"] == {"features.3": 0.4, "classifier.0": 0.3}
    training.set({"model.dropout": {"classifier.*": 0.3, "*": 0.4}})
    assert training.values()["model.dropout"] == 0.4


def test_attention_and_stacked_rnns_drop_out_as_well() -> None:
    model = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(4, 2, dropout=0.1),
            "stacked": nn.LSTM(4, 4, num_layers=2, dropout=0.2),
            "single": nn.GRU(4, 4),
            "alpha": nn.AlphaDropout(0.3),
        }
    )
    training = Training(model)
    assert training.values()["model.dropout"] == {
        "attention": 0.1,
        "stacked": 0.2,
        "alpha": 0.3,
    }
    training.set({"model.dropout": {"attention": 0.9, "stacked": 0.9}})
    inputs = torch.ones(50, 1, 4)
    for layer in (
        lambda: model["attention"](inputs, inputs, inputs)[0],
        lambda: model["stacked"](inputs)[0],
    ):
        assert not torch.equal(layer(), layer())
    training.set({"model.dropout": 0.0})
    for layer in (
        lambda: model["attention"](inputs, inputs, inputs)[0],
        lambda: model["stacked"](inputs)[0],
    ):
        assert torch.equal(layer(), layer())


REFUSED = [
    ({"model.dropout": {"features.0": 0.1}}, "'features.0' matches no dropout layer"),
    ({"model.dropout": {"clasifier.0": 0.1}}, r"Did you mean classifier.0"),
    (
        {"model.dropout": {"x": 0.1}},
        r"Dropout layers: classifier, classifier.0, features, features.3",
    ),
    ({"model.dropout": {}}, "names no layer"),
    ({"model.dropout": {"features": 1.0}}, "at least 0 and below 1"),
    ({"model.dropout": {"features": None}}, "must be a number"),
    ({"model.dropout": True}, "must be a number"),
    ({"model.frozen": ["featurs.*"]}, r"'featurs.\*' matches no layer. Did you mean features"),
    ({"model.frozen": ["*.bais"]}, r"Did you mean \*.bias"),
    ({"model.frozen": ["features.3"]}, "'features.3' matches no layer"),
    ({"model.frozen": ["*"]}, "would freeze every weight"),
    ({"model.frozen": ["features", "classifier.1"]}, "would freeze every weight"),
    ({"model.frozen": "features"}, "must be a list of layer patterns"),
    ({"model.frozen_statistics": 1}, "must be true or false"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_refused_leaves_everything_as_it_was(changes: dict[str, Any], message: str) -> None:
    training = Training()
    training.set({"model.frozen": ["features.0"], "model.dropout": {"features": 0.3}})
    training.train(2)
    before = training.hash()
    with pytest.raises(InvalidInput, match=message):
        training.set({"optimizer.lr": 0.5, **changes})
    assert training.hash() == before


def test_all_patterns_that_match_nothing_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as told:
        Training().set({"model.frozen": ["nose", "features", "ear"], "model.dropout": {"eye": 0.1}})
    assert [(fault.path, fault.message.split()[0]) for fault in told.value.faults] == [
        ("model.dropout", "'eye'"),
        ("model.frozen", "'nose'"),
        ("model.frozen", "'ear'"),
    ]


def test_a_failure_half_way_puts_the_model_back() -> None:
    training = Training()
    training.train(2)
    before, modes = training.hash(), [it.training for it in training.model.modules()]
    parameters = training.tracked.parameters
    changes = parameters.check(
        {"model.frozen": ["features"], "model.frozen_statistics": True, "model.dropout": 0.4}
    )
    part = parameters.part("model")
    assert part is not None
    original = part.apply

    def failing(own: Any) -> Any:
        original(own)
        raise RuntimeError("struck")

    part.apply = failing  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="struck"):
        parameters.apply(changes)
    assert training.hash() == before
    assert [it.training for it in training.model.modules()] == modes
    assert "train" not in vars(training.model.features[1])


def test_a_dry_run_of_everything_changes_nothing() -> None:
    training = Training()
    training.train(2)
    before = training.hash()
    parameters = training.tracked.parameters
    changes = parameters.check({"model.frozen": ["features"], "model.frozen_statistics": True})
    tried = parameters.try_out(changes)
    assert tried.after == {"model.frozen": ["features"], "model.frozen_statistics": True}
    assert training.hash() == before


def test_a_compiled_model_has_the_names_of_the_model_in_it() -> None:
    training = Training(torch.compile(make_model(), backend="eager"))  # type: ignore[arg-type]
    training.set({"model.frozen": ["features.0"], "model.dropout": {"classifier": 0.0}})
    assert training.values()["model.frozen"] == ["features.0"]


def test_a_model_without_such_layers_declares_nothing_of_them() -> None:
    training = Training(nn.Linear(6, 3))
    named = {name for name in training.values() if name.startswith("model.")}
    assert named == {"model.frozen"}
