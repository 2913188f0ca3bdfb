"""How two runs differ, in what they were told and in what came of it."""

from typing import Any

from pydantic import JsonValue

from midcourse.contract.api.runs import RunView
from midcourse.contract.base import Record
from midcourse.contract.dotted import flat
from midcourse.contract.names import RunId

Pair = tuple[JsonValue, JsonValue]
"""A value in the first run and in the second; null where there is none."""


class RunDifference(Record):
    """What is not the same in two runs; dotted paths and names, each with both values."""

    runs: tuple[RunId, RunId]
    config: dict[str, Pair]
    values: dict[str, Pair]
    """Live parameters, as last read back."""
    metrics: dict[str, Pair]
    """The latest of each."""
    facts: dict[str, Pair]
    """Status, step, origin and the like."""


def difference(first: RunView, second: RunView) -> RunDifference:
    """Compare two runs."""
    return RunDifference(
        runs=(first.id, second.id),
        config=_unequal(flat(first.config), flat(second.config)),
        values=_unequal(first.values, second.values),
        metrics=_unequal(first.metrics, second.metrics),
        facts=_unequal(_facts(first), _facts(second)),
    )


def _facts(run: RunView) -> dict[str, Any]:
    origin = run.origin
    return {
        "experiment": run.experiment,
        "name": run.name,
        "status": run.status.value,
        "step": run.step,
        "from": f"{origin.run}@{origin.checkpoint}" if origin else None,
        "tags": ", ".join(run.tags) or None,
    }


def _unequal(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Pair]:
    names = {**first, **second}
    return {
        name: (first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    }
