import json
import math
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from midcourse.checkpoints.capture import Capture
from midcourse.checkpoints.state import pack, unpack
from midcourse.errors import StateUnsupported


def round_trip(tree: Any) -> Any:
    plain, tensors = pack(tree)
    text = json.dumps(plain, sort_keys=True, allow_nan=False)
    return unpack(json.loads(text), tensors)


def same(one: Any, other: Any) -> bool:
    """Equal to the bit, types included; dicts may differ in order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and _bits(one) == _bits(other)
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one == other)


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
)
keys = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
DTYPES = [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]
tensors = st.builds(
    lambda shape, dtype: (torch.rand(shape) * 10).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
)
trees = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(st.integers() | st.text(), max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(trees)
def test_any_state_of_plain_things_comes_back_as_it_was(tree: Any) -> None:
    assert same(round_trip(tree), tree)


@pytest.mark.parametrize(
    "tree",
    [
        Counter({3: 2, 5: 1}),
        Counter({"a": 1.5, "b": -math.inf}),
        {"$tensor": "not one", "$dict": [1]},
        {1: "a", "1": "b", False: "c"},
        {(1, "a"): 1, ("a", 1): 2, None: 3},
        {"a": {"b": torch.ones(1)}, "a/b": torch.zeros(1), 1: torch.ones(2), "1": torch.zeros(2)},
        [math.nan, -math.inf, -0.0, 5e-324, 2**70],
        torch.tensor(3.5),
        torch.zeros(0, 3),
        torch.arange(12).reshape(3, 4).T,
        torch.arange(12.0)[::3],
        torch.ones(2, 3).expand(4, 2, 3),
        torch.tensor([1.0, math.nan], dtype=torch.bfloat16),
        np.array(2.5),
        np.zeros((0, 2)),
        np.arange(6, dtype=np.int16).reshape(2, 3).T.copy(order="F"),
        np.array([True, False]),
    ],
    ids=repr,
)
def test_odd_states_come_back_as_they_were(tree: Any) -> None:
    assert same(round_trip(tree), tree)


def test_numpy_arrays_that_torch_would_not_take_as_they_are() -> None:
    values = np.arange(4.0)
    values.flags.writeable = False
    for array in (values, values.astype(">f4"), values[::-1], np.broadcast_to(values, (2, 4))):
        found = round_trip(array)
        assert np.array_equal(found, array)
        assert found.flags.writeable


@pytest.mark.parametrize("number", [np.float32(0.1), np.int8(3), np.bool_(True), np.float16(0.5)])
def test_numpy_numbers_become_pythons(number: Any) -> None:
    found = round_trip([number])[0]
    assert type(found) in (int, float, bool)
    assert found == number


def test_what_is_loaded_is_a_copy_of_its_own() -> None:
    live = torch.zeros(3)
    plain, tensors = pack({"w": live})
    loaded = unpack(plain, tensors)
    live.add_(1)
    assert loaded["w"].tolist() == [0, 0, 0]


def test_equal_states_are_equal_text_whatever_their_order() -> None:
    one = pack({"b": 1, "a": {3, 1, 2}, "c": {2: "x", 1: "y"}})
    other = pack({"c": {1: "y", 2: "x"}, "a": {2, 3, 1}, "b": 1})
    assert json.dumps(one[0], sort_keys=True) == json.dumps(other[0], sort_keys=True)


class Odd:
    pass


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [0, {"b": Odd()}]}, r"the state at a/1/b holds a .*test_state.Odd"),
        ({"hook": print}, "the state at hook holds a builtins.builtin_function_or_method"),
        ({"day": date(2026, 1, 1)}, "the state at day holds a datetime.date"),
        ({"z": 1j}, "the state at z holds a builtins.complex"),
        ({"x": np.longdouble(1)}, "the state at x holds a numpy.longdouble"),
        ({"x": np.ones(2, np.longdouble)}, "the array at x has the type"),
        ({"x": np.array(["a"])}, "the array at x has the type <U1"),
        ({"x": np.timedelta64(3, "ns")}, "the state at x holds a numpy.timedelta64"),
        ({"s": {torch.ones(1): 1}}, "in the state at s has a torch.Tensor as key or item"),
        ({"s": {Odd()}}, "in the state at s has a .*Odd as key or item"),
        ({"e": torch.eye(2).to_sparse()}, "the tensor at e is sparse or quantized"),
    ],
)
def test_what_cannot_be_kept_is_named_by_path_and_type(tree: Any, message: str) -> None:
    with pytest.raises(StateUnsupported, match=message):
        pack(tree)


def test_a_tensor_type_without_a_place_in_the_file_is_named() -> None:
    with pytest.raises(StateUnsupported, match=r"the tensor at x/1 has the type torch.complex64"):
        Capture({"x": [0, torch.ones(1, dtype=torch.complex64)]})


def test_a_capture_does_not_follow_the_live_tensors() -> None:
    live = torch.zeros(3)
    capture = Capture({"w": live})
    before = bytes(capture.shared.memory[:])
    live.add_(1)
    assert bytes(capture.shared.memory[:]) == before
    capture.shared.close()


Make = Callable[[torch.optim.Optimizer], Any]
SCHEDULERS: dict[str, Make] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 4, 4]),
    "ConstantLR": lr_scheduler.ConstantLR,
    "LinearLR": lr_scheduler.LinearLR,
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lr_scheduler.PolynomialLR,
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_state_of_every_torch_scheduler_goes_on_in_another(name: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))

    def make() -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR's own steps
            return optimizer, SCHEDULERS[name](optimizer)

    def walk(optimizer: torch.optim.Optimizer, scheduler: Any, steps: int) -> list[Any]:
        seen = []
        for _ in range(steps):
            optimizer.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
            group = optimizer.param_groups[0]
            seen.append((group["lr"], group["momentum"]))
        return seen

    optimizer, scheduler = make()
    walk(optimizer, scheduler, 5)
    state = round_trip({"o": optimizer.state_dict(), "s": scheduler.state_dict()})
    other_optimizer, other_scheduler = make()
    other_optimizer.load_state_dict(state["o"])
    other_scheduler.load_state_dict(state["s"])
    assert walk(other_optimizer, other_scheduler, 8) == walk(optimizer, scheduler, 8)


def test_every_torch_scheduler_is_among_them() -> None:
    found = {
        name
        for name, thing in vars(lr_scheduler).items()
        if isinstance(thing, type)
        and issubclass(thing, lr_scheduler.LRScheduler)
        and name not in ("LRScheduler", "_LRScheduler")
    }
    assert found == set(SCHEDULERS)
