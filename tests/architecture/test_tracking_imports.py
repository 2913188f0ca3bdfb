"""The training process never loads wandb, and the tracker never loads torch."""

import subprocess
import sys
from pathlib import Path

import pytest


def loaded(statement: str) -> set[str]:
    """The top-level modules of a fresh interpreter after one statement."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import midcourse.session", "import midcourse.tracking.supervisor"],
)
def test_the_training_process_does_not_load_wandb(statement: str) -> None:
    assert "wandb" not in loaded(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "import midcourse.tracking.__main__",
        "import midcourse.tracking.page",
        "import midcourse.tracking.wandb_tracker",
    ],
)
def test_the_tracker_does_not_load_torch(statement: str) -> None:
    assert "torch" not in loaded(statement)


def test_writing_for_tensorboard_loads_neither_torch_nor_wandb() -> None:
    found = loaded("import midcourse.tracking.tensorboard.log_folder")
    assert found & {"tensorboard", "torch", "wandb"} == {"tensorboard"}
