"""Names that are made and checked in one place: runs, checkpoints, metrics."""

import re
import secrets
from typing import Annotated, Final

from pydantic import Field

RUN_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
RunId = Annotated[str, Field(pattern=RUN_ID_PATTERN)]
"""Safe as a folder, a W&B run id, a container name and a part of a URL."""

EXPERIMENT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
Experiment = Annotated[str, Field(pattern=EXPERIMENT_PATTERN)]

CHECKPOINT_PATTERN: Final = r"^(initial|step-(0|[1-9][0-9]{0,14}))(\.[1-9][0-9]{0,5})?$"
CheckpointName = Annotated[str, Field(pattern=CHECKPOINT_PATTERN)]
"""`initial`, `step-500`, or `step-500.1` where parameters changed while it stood at step 500."""

BEFORE_FIRST_STEP: Final = -1
"""The step of the initial checkpoint: no step has been taken, the next one is 0."""

# Consonants and digits that are not mistaken for one another, and spell no words.
_ID_ALPHABET = "23456789bcdfghjkmnpqrstvwxz"


def new_run_id() -> str:
    """A fresh id such as `r7xk2m9qd`: 27**8 (2.8e11) possibilities, never chosen by a client."""
    return "r" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))


def new_sweep_id() -> str:
    """A fresh id such as `s7hw9z2mk`, by which the runs of one submission know each other."""
    return "s" + new_run_id()[1:]


def checkpoint_name(step: int) -> str:
    """`step-500` for the checkpoint taken after step 500 completed; `initial` before step 0."""
    return "initial" if step == BEFORE_FIRST_STEP else f"step-{step}"


def checkpoint_step(name: str) -> int:
    """The inverse of `checkpoint_name`.

    Raises:
        ValueError: the name is not a checkpoint's.
    """
    if not re.fullmatch(CHECKPOINT_PATTERN, name):
        raise ValueError(f"{name!r} is no checkpoint name; those are 'initial' and 'step-<N>'")
    place = name.partition(".")[0]
    return BEFORE_FIRST_STEP if place == "initial" else int(place.removeprefix("step-"))


class Metric:
    """Metric names that more than one part of Midcourse knows."""

    TRAIN_LOSS: Final = "train/loss"
    """Mean loss of the training batches since the last evaluation."""
    TRAIN_ACCURACY: Final = "train/accuracy"
    TRAIN_BATCH_LOSS: Final = "train/batch_loss"
    """Loss of the one batch of this step."""
    LEARNING_RATE: Final = "train/lr"
    """The learning rate that this step used, of the first parameter group."""
    EPOCH: Final = "train/epoch"
    STEPS_PER_SECOND: Final = "system/steps_per_second"
    TEST_LOSS: Final = "test/loss"
    TEST_ACCURACY: Final = "test/accuracy"
    TEST_PRECISION: Final = "test/precision"
    TEST_RECALL: Final = "test/recall"
    TEST_F1: Final = "test/f1"
    TEST_AUROC: Final = "test/auroc"


class MediaName:
    """Names of logged media that more than one part of Midcourse knows."""

    CONFUSION_MATRIX: Final = "test/confusion_matrix"
    PER_CLASS_ACCURACY: Final = "test/per_class_accuracy"
    PER_CLASS_TABLE: Final = "test/per_class"
    MISCLASSIFIED: Final = "examples/misclassified"
    LOWEST_LOSS: Final = "examples/lowest_loss"
    LABEL_HISTOGRAM: Final = "data/label_histogram"
