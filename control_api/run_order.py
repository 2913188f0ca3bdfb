"""The order of lists of runs as SQL, and where in it a page begins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    String,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    type_coerce,
)

from control_api import json_values as jv
from control_api.columns import Moment
from control_api.run_fields import PickedFields
from control_api.run_words import TEXT_FIELDS, TIME_FIELDS, Order
from control_api.tables import RunRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SortKey:
    """One of the expressions that runs are sorted by; it is never null."""

    expression: ColumnElement[Any]
    kind: type
    """Of its values: int, str, datetime, or Decimal for any number."""
    descending: bool = False


def sort_keys(fields: PickedFields, order: Order) -> Iterator[SortKey]:
    """The keys of one field. Runs without the value come last in either direction."""
    if order.field.group is None:
        return _keys_of_column(fields, order)
    return _keys_of_json(fields, order)


def _keys_of_json(fields: PickedFields, order: Order) -> Iterator[SortKey]:
    value, dialect = fields.json_value(order.field), fields.dialect
    falling = case((value.rank >= jv.NAN, value.rank), else_=jv.NESTED - value.rank)
    yield SortKey(falling if order.descending else value.rank, int)
    number = func.coalesce(value.number, jv.number_literal(dialect, 0))
    yield SortKey(number, Decimal, order.descending)
    text = func.coalesce(value.text, "", type_=String())
    yield SortKey(jv.in_code_points(dialect, text), str, order.descending)


def _keys_of_column(fields: PickedFields, order: Order) -> Iterator[SortKey]:
    name = order.field.path[0]
    column: Any = fields.column(order.field)
    nothing: ColumnElement[Any] = literal(0, Integer)
    kind: type = int
    if name in TEXT_FIELDS:
        column, nothing, kind = type_coerce(column, String), literal("", String), str
    elif name in TIME_FIELDS:
        nothing, kind = literal(_EPOCH, Moment()), datetime
    if getattr(RunRow, name).nullable:
        yield SortKey(case((column.is_(None), 1), else_=0), int)
        column = func.coalesce(column, nothing, type_=column.type)
    if kind is str:
        column = jv.in_code_points(fields.dialect, column)
    yield SortKey(column, kind, order.descending)


def comes_after(
    dialect: str, keys: Sequence[SortKey], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Whether a row comes behind the one that has these values."""
    behind: ColumnElement[bool] = false()
    for key, value in zip(reversed(keys), reversed(values), strict=True):
        said = _literal(dialect, key, value)
        further = key.expression < said if key.descending else key.expression > said
        behind = or_(further, and_(key.expression == said, behind))
    return behind


def _literal(dialect: str, key: SortKey, value: Any) -> Any:
    if key.kind is Decimal:
        return jv.number_literal(dialect, value)
    return literal(value, Moment()) if key.kind is datetime else value
