"""All random number generators of the process, as one state."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (every device) alike."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """The state of every generator, as tensors and plain data."""
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": {"version": version, "words": np.array(words, dtype=np.int64), "gauss": gauss},
        "numpy": _numpy_state(),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def load_rng_state(state: dict[str, Any]) -> None:
    """Put every generator back to where `rng_state` found it."""
    python = state["python"]
    words = tuple(int(word) for word in python["words"])
    random.setstate((python["version"], words, python["gauss"]))
    saved = state["numpy"]
    np.random.set_state((saved["name"], saved["keys"].astype(np.uint32), *saved["rest"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _numpy_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    return {"name": name, "keys": np.asarray(keys).astype(np.int64), "rest": tuple(rest)}


@contextmanager
def undisturbed() -> Iterator[None]:
    """What happens inside leaves the CPU generators as they were."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


@contextmanager
def undisturbed_everywhere() -> Iterator[None]:
    """What happens inside leaves all generators as they were, those of GPUs, too.

    Waits for the GPUs, so this is not for what is done at every step.
    """
    before = rng_state()
    try:
        yield
    finally:
        load_rng_state(before)
