"""What is said where nothing can be compiled."""

import pytest
import torch
from torch import nn

from midcourse.contract.errors import InvalidInput
from trainer.compiling import compile_model

CPU = torch.device("cpu")


def test_without_a_compiler_it_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        InvalidInput, match=r"train\.compile: needs a C\+\+ compiler, .* no g\+\+ or clang\+\+"
    ):
        compile_model(nn.Linear(1, 1), CPU, find=lambda name: None)
    monkeypatch.setenv("CXX", "my-compiler")
    with pytest.raises(InvalidInput, match="no my-compiler; install one"):
        compile_model(nn.Linear(1, 1), CPU, find=lambda name: None)


def test_a_compiler_that_fails_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: object) -> object:
        raise RuntimeError("Python.h is missing\nand so on")

    monkeypatch.setattr(torch, "compile", fail)
    model = nn.Linear(1, 1)
    with pytest.raises(
        InvalidInput,
        match=r"cannot compile on this machine: Python\.h is missing; set this to false",
    ):
        compile_model(model, CPU, find=lambda name: f"/bin/{name}")
    assert model._compiled_call_impl is None
