"""Filters of runs as SQL: the names of a query, and the conditions in its `where`."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)

from control_api import json_values as jv
from control_api.columns import Moment
from control_api.run_fields import PickedFields
from control_api.run_words import TEXT_FIELDS, TIME_FIELDS, Condition, Value
from control_api.tables import RunRow
from midcourse.contract.api.runs import RunFilter
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.runs import RunStatus

_INFINITY = float("inf")


def filter_conditions(dialect: str, wanted: RunFilter) -> list[ColumnElement[bool]]:
    """What a run must meet in all of a filter's names but `where`."""
    conditions: list[ColumnElement[bool]] = [RunRow.deleted_at.is_(None)]
    if wanted.status is not None:
        conditions.append(RunRow.status.in_(wanted.status))
    if wanted.experiment is not None:
        conditions.append(RunRow.experiment == wanted.experiment)
    if wanted.sweep is not None:
        conditions.append(RunRow.sweep == wanted.sweep)
    if wanted.parent is not None:
        conditions.append(RunRow.parent_id == wanted.parent)
    if wanted.prefix is not None:
        conditions.append(RunRow.id.startswith(wanted.prefix))
    if wanted.archived != "any":
        archived = RunRow.archived_at.is_not(None)
        conditions.append(archived if wanted.archived == "true" else ~archived)
    if wanted.tag is not None:
        conditions.append(_has_tag(dialect, wanted.tag))
    return conditions


def _has_tag(dialect: str, tag: str) -> ColumnElement[bool]:
    elements = func.json_array_elements_text if dialect == jv.POSTGRESQL else func.json_each
    each = elements(RunRow.tags).table_valued("value")
    return select(literal_column("1")).where(type_coerce(each.c.value, String) == tag).exists()


def meets(fields: PickedFields, condition: Condition) -> ColumnElement[bool]:
    """Whether a run meets a condition.

    One without the value meets nothing but `=null`, and a value of another kind than the one that
    it is compared with meets nothing but `!=`.

    Raises:
        InvalidInput: it compares with what its field never is.
    """
    if condition.field.group is not None:
        return _json_meets(fields, condition)
    name, operator, value = condition.field.path[0], condition.operator, condition.value
    column = fields.column(condition.field)
    if value is None:
        return _known(column.is_(None) if operator == "=" else column.is_not(None))
    if name in TEXT_FIELDS:
        _check_status(name, value)
        text = jv.in_code_points(fields.dialect, type_coerce(column, String))
        return _compare(text, operator, value)
    if name in TIME_FIELDS:
        return _compare(column, operator, literal(_parse_moment(name, str(value)), Moment()))
    assert isinstance(value, int | float)
    return _compare(column, operator, jv.number_literal(fields.dialect, value))


def _json_meets(fields: PickedFields, condition: Condition) -> ColumnElement[bool]:
    found, operator, said = fields.json_value(condition.field), condition.operator, condition.value
    rank = _rank_of(said)
    tie: ColumnElement[bool] | None = None
    if rank == jv.NUMBER:
        assert isinstance(said, int | float)
        tie = _compare(found.number, operator, jv.number_literal(fields.dialect, said))
    elif rank == jv.TEXT:
        tie = _compare(found.text, operator, said)
    if operator == "!=":
        differs = found.rank != rank
        return and_(differs if tie is None else or_(differs, tie), found.rank != jv.MISSING)
    same = found.rank == rank
    if operator == "=":
        return same if tie is None else and_(same, tie)
    alike = (jv.TEXT, jv.TEXT) if rank == jv.TEXT else (jv.MINUS_INFINITY, jv.INFINITY)
    further = found.rank < rank if operator.startswith("<") else found.rank > rank
    if tie is not None:
        further = or_(further, and_(same, tie))
    elif operator.endswith("="):
        further = or_(further, same)
    return and_(found.rank.between(*alike), further)


def _rank_of(value: Value) -> int:
    if value is None:
        return jv.MISSING
    if isinstance(value, bool):
        return jv.TRUE if value else jv.FALSE
    if isinstance(value, str):
        return jv.TEXT
    if value != value:  # NaN
        return jv.NAN
    return {_INFINITY: jv.INFINITY, -_INFINITY: jv.MINUS_INFINITY}.get(value, jv.NUMBER)


def _compare(left: Any, operator: str, right: Any) -> ColumnElement[bool]:
    return _known(
        {
            "=": left == right,
            "!=": left != right,
            "<": left < right,
            "<=": left <= right,
            ">": left > right,
            ">=": left >= right,
        }[operator]
    )


def _known(condition: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = condition
    return found


def _check_status(name: str, value: Value) -> None:
    known = [status.value for status in RunStatus]
    if name == "status" and value not in known:
        message = f"status is one of {', '.join(known)}; not {value!r}"
        raise InvalidInput([Fault(path="where", message=message, allowed=list(known))])


def _parse_moment(name: str, text: str) -> datetime:
    """A time; one that names no zone is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{name} is compared with a time, such as 2026-11-21T12:00:00Z; not {text!r}"
        raise InvalidInput([Fault(path="where", message=message)]) from None
