"""What a run can be forked from."""

from midcourse.contract.api import examples
from midcourse.contract.base import Record, with_examples
from midcourse.contract.checkpoints import CheckpointRecord


class CheckpointsAnswer(Record):
    """Answer of `GET /runs/{id}/checkpoints`, in order of their steps."""

    model_config = with_examples({"checkpoints": [examples.CHECKPOINT]})

    checkpoints: list[CheckpointRecord]
