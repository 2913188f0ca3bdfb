"""Configurations, as far as the control API looks into them: it names the experiment in them."""

import re
from typing import Any

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import EXPERIMENT_PATTERN


def check_experiment(name: Any, path: str = "config.experiment") -> str:
    """The name of an experiment, which stands at a path.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(name, str) or not re.fullmatch(EXPERIMENT_PATTERN, name):
        message = "must be letters, digits, dots, dashes and underscores, at most 63 of them"
        raise InvalidInput([Fault(path=path, message=message, allowed=EXPERIMENT_PATTERN)])
    return name


def merge_patch(target: Any, patch: Any) -> Any:
    """A JSON Merge Patch (RFC 7396): objects merge key by key, null deletes, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
