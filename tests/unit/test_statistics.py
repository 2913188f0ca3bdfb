"""Per-layer statistics of small models, against the same numbers computed the plain way."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from midcourse.statistics import Watch

Row = dict[str, float]


class Seen:
    """What a watch logged."""

    def __init__(self, model: nn.Module, due: Callable[[], bool] = lambda: True, **options: Any):
        self.names: list[tuple[str, ...]] = []
        self.rows: list[Row] = []
        self.watch = Watch(model, self._log, due, **options)

    def _log(self, names: tuple[str, ...], values: Tensor) -> None:
        assert values.ndim == 1
        self.names.append(names)
        self.rows.append(dict(zip(names, values.tolist(), strict=True)))


@pytest.fixture
def watch() -> Iterator[Callable[..., Seen]]:
    made: list[Seen] = []

    def make(*arguments: Any, **options: Any) -> Seen:
        made.append(Seen(*arguments, **options))
        return made[-1]

    yield make
    for seen in made:
        seen.watch.close()


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Row, Row]:
    """One step; returns the norms of gradients and updates by parameter."""
    model(torch.ones(2, 5)).square().sum().backward()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    gradients = {
        name: each.grad.norm().item()
        for name, each in model.named_parameters()
        if each.grad is not None
    }
    optimizer.step()
    optimizer.zero_grad()
    updates = {
        name: (each.detach() - before[name]).norm().item()
        for name, each in model.named_parameters()
    }
    return gradients, updates


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_each_parameter_is_measured_in_the_optimizers_step(
    watch: Callable[..., Seen], kind: Callable[..., torch.optim.Optimizer]
) -> None:
    model = make_model()
    seen = watch(model)
    optimizer = kind(model.parameters(), lr=0.1)
    for _ in range(3):
        gradients, updates = learn(model, optimizer)
        row = seen.rows[-1]
        for name, each in model.named_parameters():
            assert row[f"gradients/{name}"] == pytest.approx(gradients[name], rel=1e-6)
            assert row[f"updates/{name}"] == pytest.approx(updates[name], rel=1e-5)
            assert row[f"weights/{name}"] == pytest.approx(each.norm().item(), rel=1e-6)
        assert len(row) == 12
    assert seen.names[0] is seen.names[2]  # made once: a row costs nothing for each name


def test_a_frozen_parameter_has_no_gradient_and_an_update_of_zero(
    watch: Callable[..., Seen],
) -> None:
    model = make_model()
    seen = watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    learn(model, optimizer)
    model[0].requires_grad_(False)
    learn(model, optimizer)
    assert "gradients/0.weight" in seen.rows[0]
    assert "gradients/0.weight" not in seen.rows[1]
    assert seen.rows[1]["updates/0.weight"] == 0.0
    assert seen.rows[1]["updates/2.weight"] > 0.0


def test_what_is_not_due_is_not_measured(watch: Callable[..., Seen]) -> None:
    model = make_model()
    steps = iter([True, False, False, True])
    seen = watch(model, lambda: next(steps))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        learn(model, optimizer)
    assert len(seen.rows) == 2


def test_another_optimizer_and_a_part_of_the_model(watch: Callable[..., Seen]) -> None:
    model, other = make_model(), make_model()
    seen = watch(model)
    learn(other, torch.optim.SGD(other.parameters(), lr=0.1))
    assert not seen.rows
    learn(model, torch.optim.SGD(model[2].parameters(), lr=0.1))
    assert set(seen.rows[0]) == {
        f"{what}/2.{which}"
        for what in ("gradients", "weights", "updates")
        for which in ("weight", "bias")
    }
    learn(model, torch.optim.Adam(model.parameters()))
    assert len(seen.rows[1]) == 12
    seen.watch.close()
    learn(model, torch.optim.Adam(model.parameters()))
    assert len(seen.rows) == 2


def test_without_updates_no_copy_is_kept(watch: Callable[..., Seen]) -> None:
    model = make_model()
    seen = watch(model, updates=False)
    learn(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert not any(name.startswith("updates/") for name in seen.rows[0])
    assert seen.watch._old == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_other_types(watch: Callable[..., Seen], dtype: torch.dtype) -> None:
    weight = nn.Parameter(torch.full((10, 1000), 3.0, dtype=dtype))
    model = nn.ParameterDict({"w": weight})
    seen = watch(model)
    weight.abs().sum().backward()
    torch.optim.SGD([weight], lr=1.0).step()
    assert seen.rows[0]["gradients/w"] == pytest.approx(100.0)
    assert seen.rows[0]["weights/w"] == pytest.approx(200.0)
    assert seen.rows[0]["updates/w"] == pytest.approx(100.0)


def test_half_precision_does_not_overflow(watch: Callable[..., Seen]) -> None:
    weight = nn.Parameter(torch.full((4,), 30_000.0, dtype=torch.float16))
    seen = watch(nn.ParameterDict({"w": weight}))
    weight.grad = torch.zeros_like(weight)
    torch.optim.SGD([weight], lr=1.0).step()
    assert seen.rows[0]["weights/w"] == pytest.approx(60_000.0)


def test_sparse_gradients(watch: Callable[..., Seen]) -> None:
    table = nn.Embedding(5, 2, sparse=True)
    seen = watch(table)
    table(torch.tensor([1, 1, 3])).sum().backward()
    torch.optim.SparseAdam(table.parameters()).step()
    assert seen.rows[0]["gradients/weight"] == pytest.approx((4 + 4 + 1 + 1) ** 0.5)


def test_watching_changes_no_bit(watch: Callable[..., Seen]) -> None:
    def train(*, watched: bool) -> str:
        model = make_model()
        seen = watch(model) if watched else None
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(5):
            learn(model, optimizer)
        assert seen is None or len(seen.rows) == 5
        state = b"".join(each.detach().numpy().tobytes() for each in model.parameters())
        return hashlib.sha256(state + torch.get_rng_state().numpy().tobytes()).hexdigest()

    assert train(watched=True) == train(watched=False)
