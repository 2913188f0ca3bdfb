"""Commands as people see them beside the curves: rows of a table, markers, parameter values."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import JsonValue

from midcourse.contract.commands import Command, Fork, Reinitialise, Revert, SetParameters
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
_MOST_CHARACTERS = 20


def intervention_rows(command: Command, receipt: Receipt) -> list[list[JsonValue]]:
    """A line for each parameter that a command concerns, as `COLUMNS` has it: one at least.

    None for a dry run: it intervenes in nothing.
    """
    if command.dry_run:
        return []
    return [
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


def headline(command: Command, receipt: Receipt) -> str:
    """A command in a few words: `optimizer.lr 0.1 → 0.01`, or `pause`."""
    parts = [
        f"{name} {_shown(before)} → {_shown(after)}"
        for name, before, after in _changes(command, receipt)
        if name is not None and after is not None
    ]
    told = ", ".join(parts[:2]) + (f" and {len(parts) - 2} more" if len(parts) > 2 else "")
    return told or command.action.kind


def _shown(value: JsonValue) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = _plain(value) if value is not None else "none"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


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
