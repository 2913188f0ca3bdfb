"""Which runs `Api().runs(filters=..., order=...)` means: filters as MongoDB writes them."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from wandb_server.executor import Refused
from wandb_server.runs import Run
from wandb_server.times import iso

MISSING = object()
Filter = dict[str, Any]

ATTRIBUTES: dict[str, Callable[[Run], Any]] = {
    "name": lambda run: run.id,
    "displayName": lambda run: run.display_name,
    "state": lambda run: run.state,
    "group": lambda run: run.group,
    "jobType": lambda run: run.job_type,
    "tags": lambda run: run.tags,
    "notes": lambda run: run.notes,
    "createdAt": lambda run: iso(run.created_at),
    "created_at": lambda run: iso(run.created_at),
    "heartbeatAt": lambda run: iso(run.heartbeat_at),
    "heartbeat_at": lambda run: iso(run.heartbeat_at),
    "duration": lambda run: run.heartbeat_at - run.created_at,
    "host": lambda run: run.host,
    "username": lambda run: run.username,
    "user.username": lambda run: run.username,
    "entity": lambda run: run.entity,
    "project": lambda run: run.project,
}


def matches(run: Run, wanted: Filter) -> bool:
    """Whether a run passes a filter; {} lets all pass.

    Raises:
        Refused: the filter asks for what no run has, or by an unknown operator.
    """
    return all(_holds(run, key, value) for key, value in wanted.items())


def _holds(run: Run, key: str, value: Any) -> bool:
    match key:
        case "$and":
            return all(matches(run, each) for each in value)
        case "$or":
            return any(matches(run, each) for each in value)
        case "$nor":
            return not any(matches(run, each) for each in value)
        case "$not":
            return not matches(run, value)
    found = look_up(run, key)
    if isinstance(value, dict) and any(name.startswith("$") for name in value):
        return all(_compare(found, operator, wanted) for operator, wanted in value.items())
    return _equals(found, value)


def _compare(found: Any, operator: str, wanted: Any) -> bool:
    match operator:
        case "$eq":
            return _equals(found, wanted)
        case "$ne":
            return not _equals(found, wanted)
        case "$in":
            return any(_equals(found, each) for each in wanted)
        case "$nin":
            return not any(_equals(found, each) for each in wanted)
        case "$exists":
            return (found is not MISSING) == bool(wanted)
        case "$regex":
            return isinstance(found, str) and re.search(wanted, found) is not None
        case "$not":
            return not all(_compare(found, name, each) for name, each in wanted.items())
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _is_ordered(_instant(found, wanted), operator, _instant(wanted, wanted))
    raise Refused(f"unknown operator {operator} in a filter of runs")


def _equals(found: Any, wanted: Any) -> bool:
    if isinstance(found, list) and not isinstance(wanted, list):
        return wanted in found
    if wanted is None:
        return found is None or found is MISSING
    return bool(found == wanted)


def _is_ordered(found: Any, operator: str, wanted: Any) -> bool:
    numbers = (int, float)
    same = isinstance(found, numbers) and isinstance(wanted, numbers)
    if not same and not (isinstance(found, str) and isinstance(wanted, str)):
        return False
    comparisons = {
        "$gt": found > wanted,
        "$gte": found >= wanted,
        "$lt": found < wanted,
        "$lte": found <= wanted,
    }
    return bool(comparisons[operator])


def _instant(value: Any, like: Any) -> Any:
    """Times in one form, so that `Z` and `+00:00`, with and without fractions, compare rightly."""
    if not (isinstance(value, str) and isinstance(like, str)):
        return value
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return value


def look_up(run: Run, key: str) -> Any:
    """The value that a filter or an order names.

    Raises:
        Refused: runs have no such thing.
    """
    if key in ATTRIBUTES:
        return ATTRIBUTES[key](run)
    head, _, rest = key.partition(".")
    if head == "config":
        return _inside(run.config, rest.removesuffix(".value"))
    if head in ("summary_metrics", "summaryMetrics", "summary"):
        return _inside(run.summary, rest)
    raise Refused(f"runs cannot be chosen by {key!r}")


def _inside(tree: Any, path: str) -> Any:
    """The value at a path; a key may itself hold dots and, as in W&B's own, a `.value`."""
    if not isinstance(tree, dict):
        return MISSING
    if path in tree:
        return tree[path]
    for at, letter in enumerate(path):
        if letter == "." and path[:at] in tree:
            found = _inside(tree[path[:at]], path[at + 1 :].removeprefix("value."))
            if found is not MISSING:
                return found
    return MISSING


def ordered(runs: Iterable[Run], order: str | None) -> list[Run]:
    """Runs in an order like `-summary_metrics.loss`; those without the value come last."""
    order = order or "+created_at"
    descending, key = order.startswith("-"), order.lstrip("+-")
    known, unknown = [], []
    for run in runs:
        value = look_up(run, key)
        (unknown if value is MISSING or value is None else known).append(run)
    known.sort(key=lambda run: _rank(look_up(run, key)), reverse=descending)
    return known + unknown


def _rank(value: Any) -> tuple[int, Any]:
    """Numbers before texts before the rest, so that mixed values have an order too."""
    if isinstance(value, (int, float)):
        return (0, value)
    return (1, value) if isinstance(value, str) else (2, str(value))
