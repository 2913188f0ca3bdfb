"""Registering one's own, and options that are read off signatures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from midcourse.catalogue.schedulers import snake_case
from trainer.tasks import OPTIMIZERS, SCHEDULERS, Registry


@pytest.fixture
def registry() -> Registry[Any]:
    return Registry("thing", given=1)


def test_a_function_is_registered_with_its_options(registry: Registry[Any]) -> None:
    @registry.register("pair", alias="Pair")
    def pair(root: Path, *, left: int, right: float = 2, tag: str | None = None) -> Any:
        """Two numbers."""
        return root, left, right, tag

    assert registry.check("Pair", {"left": 1}, "x") == (
        {"name": "pair", "left": 1, "right": 2.0},
        [],
    )
    assert registry.make("pair", "here", left=1) == ("here", 1, 2.0, None)
    assert registry.entry("pair").summary == "Two numbers."


def test_a_class_without_annotations_takes_types_from_its_defaults(registry: Registry[Any]) -> None:
    @registry.register("mine")
    class Mine:
        def __init__(self, root, width=3, deep=False, extra=None, *args, **kwargs):  # type: ignore[no-untyped-def]
            self.width, self.deep, self.extra = width, deep, extra

    made = registry.make("mine", None, width=4, extra={"a": [1]})
    assert (made.width, made.deep, made.extra) == (4, False, {"a": [1]})
    assert [f.path for f in registry.check("mine", {"width": 1.5, "deep": 1}, "x")[1]] == [
        "x.width",
        "x.deep",
    ]


def test_a_name_is_given_once(registry: Registry[Any]) -> None:
    registry.register("one", alias="One")(lambda root: root)
    for name in ("one", "One"):
        with pytest.raises(ValueError, match="registered already"):
            registry.register(name)(lambda root: root)


def test_an_unknown_name_lists_the_allowed_ones_and_the_near_miss(registry: Registry[Any]) -> None:
    registry.register("alpha")(lambda root: root)
    registry.register("beta")(lambda root: root)
    with pytest.raises(LookupError, match=r"Did you mean alpha\? Allowed: alpha, beta"):
        registry.entry("alhpa")


def test_an_option_that_no_file_can_give_must_have_a_default(registry: Registry[Any]) -> None:
    @registry.register("fine")
    def fine(root: Path, *, hook: Callable[[], int] = int) -> int:
        return hook()

    assert registry.make("fine", None) == 0
    assert list(registry.entry("fine").options.model_fields) == []
    with pytest.raises(TypeError, match=r"'hook' of .* cannot be given in a file"):

        @registry.register("unfit")
        def unfit(root: Path, *, hook: Callable[[], int]) -> int:
            return hook()


def test_torch_s_optimizers_are_there_and_make_what_they_say() -> None:
    assert {"sgd", "adam", "adamw", "rmsprop", "nadam", "adagrad"} <= set(OPTIMIZERS.names())
    for name in OPTIMIZERS.names():
        weight = torch.nn.Parameter(torch.ones(2, 2))
        weight.grad = torch.ones(2, 2)
        optimizer = OPTIMIZERS.make(name, [weight], lr=0.25)
        assert type(optimizer).__name__.lower() == name
        assert optimizer.param_groups[0]["lr"] == 0.25
        optimizer.step()
        assert (weight != 1).all()
    adam = OPTIMIZERS.make("adam", [weight], betas=[0.5, 0.75])
    assert adam.param_groups[0]["betas"] == (0.5, 0.75)


def test_names_of_schedulers() -> None:
    assert snake_case("CosineAnnealingLR") == "cosine_annealing_lr"
    assert snake_case("ReduceLROnPlateau") == "reduce_lr_on_plateau"
    assert snake_case("OneCycleLR") == "one_cycle_lr"
    assert {"constant", "step_lr", "multi_step_lr", "cyclic_lr"} <= set(SCHEDULERS.names())
