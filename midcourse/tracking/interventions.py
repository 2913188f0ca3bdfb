"""Commands as people see them beside the curves: a table, a marker, and parameter values."""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import JsonValue

from midcourse.contract.commands import Command, Revert, SetParameters
from midcourse.contract.media import Table
from midcourse.contract.receipts import CommandState, Receipt

TABLE: Final = "interventions"
MARKER: Final = "intervention"
"""A metric with the command's number at the step where it acted: the dots that mark the curves."""
PARAMETER_PREFIX: Final = "param/"
COLUMNS: Final = [
    "seq",
    "step",
    "actor",
    "command",
    "parameter",
    "before",
    "after",
    "reason",
    "state",
    "detail",
]


class Interventions:
    """All receipts of a run so far, as one table: a line for each parameter that was named."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._rows: list[list[JsonValue]] = []

    def add(self, command: Command, receipt: Receipt) -> bool:
        """Take a receipt; False where it is only repeated by a redo."""
        if receipt.seq in self._seen:
            return False
        self._seen.add(receipt.seq)
        self._rows += [
            [
                receipt.seq,
                receipt.step,
                command.actor,
                command.action.kind,
                parameter,
                before,
                after,
                command.reason,
                receipt.state.value,
                receipt.reason,
            ]
            for parameter, before, after in _changes(command, receipt)
        ]
        return True

    def table(self) -> Table:
        """The table as it stands."""
        return Table(columns=list(COLUMNS), rows=list(self._rows))


def _changes(
    command: Command, receipt: Receipt
) -> Iterable[tuple[str | None, JsonValue, JsonValue]]:
    if isinstance(command.action, SetParameters):
        for name in command.action.changes:
            yield name, receipt.before.get(name), receipt.after.get(name)
        return
    yield None, None, _outcome(receipt.after)
    if isinstance(command.action, Revert):
        for name, value in command.action.changes.items():
            yield name, receipt.before.get(name), value if _applied(receipt) else None


def _outcome(after: Mapping[str, JsonValue]) -> str | None:
    return ", ".join(f"{key}={after[key]}" for key in after if key != "state_hash") or None


def _applied(receipt: Receipt) -> bool:
    return receipt.state is CommandState.APPLIED


def curve_points(values: Mapping[str, JsonValue]) -> dict[str, float]:
    """Live parameter values as metrics, by name; those that are no numbers have no curve."""
    return {
        PARAMETER_PREFIX + name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float)
    }


def nested(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """`{"optimizer.lr": 1}` as `{"optimizer": {"lr": 1}}`; W&B's config cannot have dots in keys.

    A name that is both a value and a prefix (`a` and `a.b`) stays whole, with its dot.
    """
    result: dict[str, JsonValue] = {}
    for name in sorted(values):
        *path, last = name.split(".")
        place: JsonValue = result
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[last] = values[name]
        else:
            result[name] = values[name]
    return result
