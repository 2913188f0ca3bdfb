"""Values inside of JSON columns as SQL: what they are, and how they compare and sort.

A value is first picked from its column, which each database does in its own way: as its kind and
its text or number or, by PostgreSQL, as a small JSON of its own. All else is the same everywhere.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    Numeric,
    String,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    type_coerce,
)

POSTGRESQL = "postgresql"

MINUS_INFINITY, NUMBER, INFINITY, FALSE, TRUE, TEXT, NESTED, NAN, MISSING = range(9)
"""Ranks: in which order values of different kinds come when they ascend."""

_BEYOND = 2**63
"""What SQLite's whole numbers do not reach; it has floats for those."""
_NUMBERS = ("number", "integer", "real")
_TEXTS = ("string", "text")
_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]+")
"""Stands in JSON as it is, and can be said in SQLite's paths."""


@dataclass(frozen=True)
class JsonValue:
    """One value of each row; `rank` says which of the other two holds it."""

    rank: ColumnElement[int]
    number: ColumnElement[Any]
    text: ColumnElement[str]


@dataclass(frozen=True)
class Picked:
    """The two columns of a value, as they are picked from its JSON column."""

    kind: ColumnElement[Any]
    value: ColumnElement[Any]


def pick(dialect: str, column: Any, path: tuple[str, ...], index: int | None = None) -> Picked:
    """A value in a JSON column; both of its columns are null where there is none.

    Args:
        dialect: which database is asked.
        column: that has the JSON, an object.
        path: names, from the outermost on.
        index: of the element, where the last name has a list.
    """
    if dialect == POSTGRESQL:
        return _pick_postgresql(column, path, index)
    if all(_PLAIN_NAME.fullmatch(name) for name in path):
        where = "$" + "".join(f'."{name}"' for name in path)
        where += "" if index is None else f"[{index}]"
        return Picked(func.json_type(column, where), func.json_extract(column, where))
    return _pick_sqlite_by_key(column, path, index)


def _pick_postgresql(column: Any, path: tuple[str, ...], index: int | None) -> Picked:
    found: Any = column
    steps = [literal(name, Text) for name in path]
    last: Any = steps[-1] if index is None else literal(index, Integer)
    for name in steps if index is not None else steps[:-1]:
        found = found.op("->")(name)
    return Picked(null(), found.op("->")(last))  # the kind is told from the small value, later


def _pick_sqlite_by_key(column: Any, path: tuple[str, ...], index: int | None) -> Picked:
    """By looking through the keys: SQLite's paths cannot say each name that JSON can hold."""
    found: Any = column
    for name in path[:-1]:
        found = _member(found, name, lambda each: each.c.value, within=("object",))
    if index is not None:
        found = _member(found, path[-1], lambda each: each.c.value, within=("array",))
        where = f"$[{index}]"
        return Picked(func.json_type(found, where), func.json_extract(found, where))
    kind = _member(found, path[-1], lambda each: each.c.type)
    return Picked(kind, _member(found, path[-1], lambda each: each.c.value))


def _member(
    document: Any, name: str, wanted: Callable[[Any], Any], within: tuple[str, ...] = ()
) -> Any:
    each = func.json_each(document).table_valued("key", "value", "type").alias()
    found = select(wanted(each)).where(type_coerce(each.c.key, String) == name)
    if within:
        found = found.where(type_coerce(each.c.type, String).in_(within))
    return found.scalar_subquery()


def read_picked(dialect: str, picked: Picked, *, non_finite: bool) -> JsonValue:
    """What was picked, as it compares.

    Args:
        dialect: which database is asked.
        picked: its columns, of a subquery.
        non_finite: whether the strings that JSON has in place of NaN and the infinities are those.
    """
    if dialect == POSTGRESQL:
        itself: ColumnElement[Any] = literal_column("'{}'::text[]")
        picked = Picked(func.json_typeof(picked.value), picked.value.op("#>>")(itself))
    kind = type_coerce(picked.kind, String)
    text = type_coerce(picked.value, Text)
    strange = kind.in_(_TEXTS) & text.in_(["NaN", "Infinity", "-Infinity"])
    ranks: list[tuple[ColumnElement[bool], Any]] = [
        (kind.is_(None) | (kind == "null"), MISSING),
        (kind.in_(_NUMBERS), NUMBER),
    ]
    if non_finite:
        of_text = case((text == "NaN", NAN), (text == "Infinity", INFINITY), else_=MINUS_INFINITY)
        ranks.append((strange, of_text))
    ranks += [
        (kind.in_(_TEXTS), TEXT),
        ((kind == "true") | ((kind == "boolean") & (text == "true")), TRUE),
        (kind.in_(["false", "boolean"]), FALSE),
    ]
    number: ColumnElement[Any] = (
        cast(picked.value, Numeric) if dialect == POSTGRESQL else type_coerce(picked.value, Float)
    )
    return JsonValue(
        rank=case(*ranks, else_=NESTED),
        number=case((kind.in_(_NUMBERS), number), else_=null()),
        text=in_code_points(dialect, case((kind.in_(_TEXTS), text), else_=null())),
    )


def number_literal(dialect: str, number: int | float | Decimal) -> ColumnElement[Any]:
    """A number to compare others with, in all of its digits."""
    if dialect != POSTGRESQL:
        is_whole = isinstance(number, int) and -_BEYOND <= number < _BEYOND
        return literal(number, BigInteger) if is_whole else literal(float(number), Float)
    return literal(number if isinstance(number, Decimal) else Decimal(repr(number)), Numeric)


def in_code_points(dialect: str, text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Text that sorts by its code points, whatever the language of the database."""
    return text.collate("C") if dialect == POSTGRESQL else text
