"""What people call a run by now, as the control API wrote it down."""

from pydantic import ValidationError

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunLabels


def read_labels(paths: RunPaths) -> RunLabels:
    """The labels of a run; empty ones where nobody gave it any."""
    try:
        return RunLabels.model_validate_json(paths.labels.read_bytes())
    except (OSError, ValidationError):
        return RunLabels()
