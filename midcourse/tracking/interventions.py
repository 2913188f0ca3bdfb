"""The table of a run's interventions as it grows, and names as W&B's config has them."""

from collections.abc import Mapping

from pydantic import JsonValue

from midcourse.contract.commands import Command
from midcourse.contract.interventions import (
    COLUMNS,
    MARKER,
    PARAMETER_PREFIX,
    TABLE,
    curve_points,
    intervention_rows,
)
from midcourse.contract.media import Table
from midcourse.contract.receipts import Receipt

__all__ = [
    "COLUMNS",
    "MARKER",
    "PARAMETER_PREFIX",
    "TABLE",
    "Interventions",
    "curve_points",
    "nested",
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
        self._rows += intervention_rows(command, receipt)
        return True

    def table(self) -> Table:
        """The table as it stands."""
        return Table(columns=list(COLUMNS), rows=list(self._rows))


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
