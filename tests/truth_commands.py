"""Random commands, as drafts: what they mean in numbers and names depends on the run they meet."""

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from truth_program import FAULTY_NOISE

GOOD: dict[str, list[Any]] = {
    "optimizer.lr": [
        0.05,
        0.3,
        1,
        {"value": 0.5, "mode": "scale"},
        {"value": 0.02, "mode": "rebase"},
        {"value": 0.07, "mode": "override"},
    ],
    "optimizer.momentum": [0.0, 0.5, 0.95],
    "optimizer.betas": [[0.8, 0.9], [0.5, 0.999]],
    "optimizer.weight_decay": [0, 0.001, 0.2],
    "optimizer.name": [
        "sgd",
        "adam",
        {"value": "adamw", "state": "carry"},
        {"value": "adam", "state": "reset"},
    ],
    "model.dropout": [0.0, 0.4, {"head.*": 0.6}, {"body.drop": 0.3, "head.drop": 0.1}],
    "model.frozen": [[], ["body.*"], ["*.bias"], ["head.out", "body.linear.bias"]],
    "loss.label_smoothing": [0.0, 0.1, 0.3],
    "noise": [0.0, 0.2, 1.0],
    "data.batch_size": [4, 8, 13, {"value": 16, "scale_lr": True}],
    "train.epochs": ["+1", "+2", "+9"],
    "train.checkpoint_every": ["3 steps", "1 epoch", "5 steps", None],
}
"""A number of epochs with a plus counts from the epoch under way."""

BAD: dict[str, list[Any]] = {
    "optimizer.lr": [0, -0.1, "0.1", True, None, [0.1], {"value": 1, "mode": "sideways"}, 10**310],
    "optimizer.momentum": [1, -0.5, "high"],
    "optimizer.betas": [[0.9], 0.9, [0.9, 1.0]],
    "optimizer.weight_decay": [-1, "a lot"],
    "optimizer.name": ["adamant", 3],
    "model.dropout": [1, -0.1, {"tail.*": 0.1}, {}, {"head.*": 1}],
    "model.frozen": ["body", ["tail.*"], ["*"], [3]],
    "loss.label_smoothing": [1.5, False],
    "noise": [2, -1, "loud"],
    "data.batch_size": [0, 2.5, "8"],
    "train.epochs": ["+0", "-1", 2.5, 0],
    "train.checkpoint_every": ["often", 5, "0 steps"],
    "optimizer.learning_rate": [0.1],
    "model.dropuot": [0.1],
}
BREAKING: dict[str, list[Any]] = {
    "loss.label_smoothing": [0.8],
    "noise": [FAULTY_NOISE],
}
"""Acceptable by what was declared, and yet it cannot be."""


@dataclass(frozen=True)
class Draft:
    """A command before it is known what run it is for."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    at: tuple[str, int] | None = None
    """`step` or `epoch`, and how many of them after the one at hand."""
    dry_run: bool = False


def _pairs(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in table.items() for value in values]


_GOOD, _BAD, _BREAKING = _pairs(GOOD), _pairs(BAD), _pairs(BREAKING)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Changes of one to three parameters; one in four with something wrong among them."""
    found = dict(draw(st.lists(st.sampled_from(_GOOD), min_size=1, max_size=3)))
    spoilt = draw(st.sampled_from([[], [], [], [], [], [], _BAD, _BAD, _BREAKING]))
    return found | dict([draw(st.sampled_from(spoilt))] if spoilt else [])


@st.composite
def plain(draw: st.DrawFn) -> Draft:
    """A command that acts at the next boundary, good or bad."""
    kind = draw(st.sampled_from(["set"] * 6 + ["pause", "resume"] * 2 + [*_FIELDS]))
    return Draft(kind, {name: draw(values) for name, values in _FIELDS.get(kind, {}).items()})


_CHILDREN = st.sampled_from(["new"] * 8 + ["own", "old"])
_NUMBERS = st.integers(0, 1000)
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "set": {"changes": changes()},
    "resume": {"steps": st.sampled_from([None, None, 1, 2, 3])},
    "checkpoint": {"pin": st.booleans()},
    "alert": {"message": st.just("look at this")},
    "cancel": {"number": _NUMBERS},
    "reinitialise": {
        "layers": st.sampled_from(
            [["head.out"], ["head.*"], ["body.linear", "head.out"], ["tail"], ["body.drop"]]
        )
    },
}


@st.composite
def back(draw: st.DrawFn) -> Draft:
    """A command that puts another run in this one's place."""
    child = draw(_CHILDREN)
    if draw(st.booleans()):
        return Draft("undo", {"child": child})
    edits = draw(st.one_of(st.just({}), changes()))
    return Draft("revert", {"checkpoint": draw(_NUMBERS), "child": child, "changes": edits})


_TIMES = st.sampled_from(
    [("step", ahead) for ahead in range(-2, 6)] + [("epoch", ahead) for ahead in (-1, 0, 0, 1)]
)


@st.composite
def scheduled(draw: st.DrawFn) -> Draft:
    """A command that waits for its step or epoch."""
    draft = draw(st.one_of(plain(), plain(), plain(), back()))
    return replace(draft, at=draw(_TIMES))


@st.composite
def tried(draw: st.DrawFn) -> Draft:
    """A dry run."""
    draft = draw(st.one_of(plain(), plain(), back()))
    return replace(draft, at=draw(st.one_of(st.none(), _TIMES)), dry_run=True)
