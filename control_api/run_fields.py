"""What lists of runs are filtered and sorted by, picked from the table once for each run."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Label, select

from control_api import json_values as jv
from control_api.run_words import CONFIG, METRICS, Field
from control_api.tables import RunRow

_JSON_COLUMNS = {CONFIG: RunRow.config, METRICS: RunRow.latest}


class PickedFields:
    """A subquery with the ids of some runs and the fields that are asked of them.

    JSON is looked into there, and there alone: it is read once, however many conditions and sort
    keys are made of it.
    """

    def __init__(
        self, dialect: str, fields: Iterable[Field], runs: Sequence[ColumnElement[bool]]
    ) -> None:
        self.dialect = dialect
        self._labels = {field: f"f{n}" for n, field in enumerate(dict.fromkeys(fields))}
        columns: list[Label[Any]] = []
        for field, label in self._labels.items():
            if field.group is None:
                columns.append(getattr(RunRow, field.path[0]).label(label))
            else:
                picked = self._pick(field)
                columns += [
                    picked.kind.label(f"{label}_kind"),
                    picked.value.label(f"{label}_value"),
                ]
        self.subquery: CTE = select(RunRow.id, *columns).where(*runs).cte("picked")
        if any(field.group for field in self._labels):
            # PostgreSQL would else look again at each place where the value stands.
            self.subquery = self.subquery.prefix_with("MATERIALIZED", dialect=jv.POSTGRESQL)

    @property
    def id(self) -> Any:
        """The run's."""
        return self.subquery.c.id

    def column(self, field: Field) -> Any:
        """A field that is a column of its own."""
        return self.subquery.c[self._labels[field]]

    def json_value(self, field: Field) -> jv.JsonValue:
        """A field that stands in JSON."""
        label, columns = self._labels[field], self.subquery.c
        picked = jv.Picked(columns[f"{label}_kind"], columns[f"{label}_value"])
        return jv.read_picked(self.dialect, picked, non_finite=field.group == METRICS)

    def _pick(self, field: Field) -> jv.Picked:
        column = _JSON_COLUMNS.get(field.group or "", RunRow.live_values)
        index = 1 if field.group == METRICS else None  # of [step, value]
        return jv.pick(self.dialect, column, field.path, index)
