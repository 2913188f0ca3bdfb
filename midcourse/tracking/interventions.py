"""Commands as people see them beside the curves: a table, a marker, and parameter values."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import JsonValue

from midcourse.contract.commands import Command, Fork, Reinitialise, Revert, SetParameters
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
    """All receipts of a run so far, as one table: a line for each parameter that is concerned.

    Dry runs are left out: they intervene in nothing.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._rows: list[list[JsonValue]] = []

    def add(self, command: Command, receipt: Receipt) -> bool:
        """Take a receipt; False where it is only repeated by a redo, or that of a dry run."""
        if receipt.seq in self._seen or command.dry_run:
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
                _detail(receipt),
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
    """What is concerned, with its values before and after: at least one line for each command."""
    match command.action:
        case SetParameters(changes=changes) | Fork(changes=changes) if changes or receipt.after:
            # What else changed with it, such as the rate with the batch size, is told as well.
            for name in {**changes, **receipt.before, **receipt.after}:
                yield name, _cell(receipt.before, name), _cell(receipt.after, name)
        case Reinitialise() if receipt.after:
            for layer in receipt.after:
                yield layer, _cell(receipt.before, layer), _cell(receipt.after, layer)
        case Revert(changes=changes):
            yield None, None, _outcome(receipt.after)
            for name in changes:  # the child trains with it, and reads it back
                yield name, None, _cell(changes, name) if _applied(receipt) else None
        case _:
            yield None, None, _outcome(receipt.after)


def _cell(values: Mapping[str, JsonValue], name: str) -> JsonValue:
    """A value for the table, which has numbers, booleans and text. None: there is no value."""
    if name not in values:
        return None
    value = values[name]
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _detail(receipt: Receipt) -> str | None:
    """Why it did not act, and what else there is to know."""
    told = [f"{name}={_plain(value)}" for name, value in receipt.details.items()]
    return "; ".join([*([receipt.reason] if receipt.reason else []), *told]) or None


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _outcome(after: Mapping[str, JsonValue]) -> str | None:
    return ", ".join(f"{key}={_plain(after[key])}" for key in after if key != "state_hash") or None


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
