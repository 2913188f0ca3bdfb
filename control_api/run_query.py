"""Lists of runs: filtered, sorted and paged in the database.

A page is first found as ids and the values that it is sorted by, so that no wide row is sorted,
and then loaded.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, defer

from control_api.cursors import read_cursor, write_cursor
from control_api.dialects import among
from control_api.json_values import in_code_points
from control_api.run_conditions import filter_conditions, meets
from control_api.run_fields import PickedFields
from control_api.run_order import SortKey, comes_after, sort_keys
from control_api.run_words import parse_sort, parse_where
from control_api.tables import RunRow
from midcourse.contract.api.runs import RunFilter, RunsQuery

_NEWEST_FIRST = "-created_at"


@dataclass(frozen=True)
class Page:
    """Some of the runs that a query is about."""

    runs: list[RunRow]
    total: int
    next_cursor: str | None


def page_of_runs(session: Session, query: RunsQuery) -> Page:
    """The runs of one page, in their order.

    Raises:
        InvalidInput: `where`, `sort` or the cursor are not acceptable.
    """
    matches = _Matches(session, query, query.sort)
    of = repr(query.model_copy(update={"limit": None, "cursor": None}))
    kinds = [key.kind for key in matches.keys]
    after = None if query.cursor is None else read_cursor(query.cursor, of, kinds)
    found = session.execute(matches.ordered(after).limit(query.limit + 1)).all()
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Page(
        runs=load_runs(session, [row.id for row in shown]),
        total=session.scalar(matches.count()) or 0,
        next_cursor=write_cursor(of, shown[-1][1:]) if more else None,
    )


def ids_of_runs(session: Session, wanted: RunFilter, limit: int) -> tuple[list[str], int]:
    """Runs that a filter means, the newest first: the first `limit` of them, and how many in all.

    Raises:
        InvalidInput: `where` is not acceptable.
    """
    matches = _Matches(session, wanted, _NEWEST_FIRST)
    found = session.execute(matches.ordered(None).limit(limit)).all()
    return [row.id for row in found], session.scalar(matches.count()) or 0


def load_runs(session: Session, run_ids: list[str]) -> list[RunRow]:
    """Runs in the order of their ids as given, without what no list shows."""
    wide = (defer(RunRow.declared), defer(RunRow.deletion))
    rows = session.scalars(select(RunRow).options(*wide).where(among(session, RunRow.id, run_ids)))
    by_id = {row.id: row for row in rows}
    return [by_id[run_id] for run_id in run_ids if run_id in by_id]


class _Matches:
    """The runs that a filter means, as statements."""

    def __init__(self, session: Session, wanted: RunFilter, sort: str) -> None:
        dialect = session.get_bind().dialect.name
        conditions = [] if wanted.where is None else parse_where(wanted.where)
        orders = parse_sort(sort)
        asked = [*(each.field for each in conditions), *(each.field for each in orders)]
        self._fields = PickedFields(dialect, asked, filter_conditions(dialect, wanted))
        self._conditions = [meets(self._fields, condition) for condition in conditions]
        self.keys = [key for order in orders for key in sort_keys(self._fields, order)]
        self.keys.append(SortKey(in_code_points(dialect, self._fields.id), str))  # to be unique

    def count(self) -> Select[Any]:
        """How many there are."""
        return select(func.count()).select_from(self._fields.subquery).where(*self._conditions)

    def ordered(self, after: list[Any] | None) -> Select[Any]:
        """Their ids with the values that they are sorted by; those behind a cursor's, if any."""
        labels = [key.expression.label(f"k{n}") for n, key in enumerate(self.keys)]
        query = select(self._fields.id, *labels).where(*self._conditions)
        if after is not None:
            query = query.where(comes_after(self._fields.dialect, self.keys, after))
        falling = [key.descending for key in self.keys]
        return query.order_by(
            *(k.desc() if down else k for k, down in zip(labels, falling, strict=True))
        )
