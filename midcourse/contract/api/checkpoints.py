"""What a run can be forked from."""

from midcourse.contract.base import Record
from midcourse.contract.checkpoints import CheckpointRecord


class CheckpointsAnswer(Record):
    """Answer of `GET /runs/{id}/checkpoints`, in order of their steps."""

    checkpoints: list[CheckpointRecord]
