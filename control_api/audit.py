"""The audit, read: a page of it, or all of it. `control_api.asking` writes it."""

from collections.abc import Iterator

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from control_api.cursors import read_cursor, write_cursor
from control_api.database import Database
from control_api.tables import AuditRow
from midcourse.contract.api.audit import AuditAnswer, AuditEntry, AuditFilter, AuditQuery

CHUNK = 1000
"""Lines of a download that are read at a time: however long the audit is, memory is not."""

_CURSOR = "audit"


def page_of_audit(session: Session, query: AuditQuery) -> AuditAnswer:
    """The newest lines that meet a filter, or those behind a cursor.

    Raises:
        InvalidInput: the cursor is none.
    """
    wanted = _meeting(query).order_by(AuditRow.id.desc()).limit(query.limit + 1)
    if query.cursor is not None:
        (last,) = read_cursor(query.cursor, _CURSOR, [int])
        wanted = wanted.where(AuditRow.id < last)
    rows = list(session.scalars(wanted))
    shown = rows[: query.limit]
    return AuditAnswer(
        entries=[_entry(row) for row in shown],
        next_cursor=write_cursor(_CURSOR, [shown[-1].id]) if len(rows) > query.limit else None,
    )


def each_line(database: Database, wanted: AuditFilter) -> Iterator[str]:
    """All lines that meet a filter and are there now, the oldest first, as JSON."""
    with database.reading() as session:
        last = session.scalar(select(func.max(AuditRow.id))) or 0
    reached = 0
    while reached < last:
        with database.reading() as session:
            chunk = (
                _meeting(wanted)
                .where(AuditRow.id > reached, AuditRow.id <= last)
                .order_by(AuditRow.id)
                .limit(CHUNK)
            )
            rows = list(session.scalars(chunk))
        yield from (_entry(row).to_json() + "\n" for row in rows)
        reached = rows[-1].id if len(rows) == CHUNK else last


def _meeting(wanted: AuditFilter) -> Select[AuditRow]:
    query = select(AuditRow)
    if wanted.actor is not None:
        query = query.where(AuditRow.actor == wanted.actor)
    if wanted.run is not None:
        query = query.where(AuditRow.run_id == wanted.run)
    if wanted.outcome is not None:
        query = query.where(AuditRow.outcome == wanted.outcome)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    return query


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        token_id=row.token_id,
        role=row.role,
        address=row.address,
        request_id=row.request_id,
        method=row.method,
        path=row.path,
        action=row.action,
        run=row.run_id,
        seq=row.seq,
        subject=row.subject,
        outcome=row.outcome,
        status=row.status,
        problem=row.problem,
    )
