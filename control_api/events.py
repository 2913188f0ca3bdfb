"""Events: what happened to runs, each with a number, in the order in which it was kept.

Nobody reports them. They are read off the rows that a transaction changes, so none is forgotten,
and they are stored in that transaction, so none is told that did not happen. `/events` sends them
to people, `control_api.event_tail` to waiters in other processes.
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import event, inspect, text
from sqlalchemy.orm import Session

from control_api.tables import CheckpointRow, CommandRow, EventRow, RunRow
from midcourse.contract.base import utc_now

_GATHERED = "events"
_ADVISORY_LOCK = 0x6D63_6576
"""Of PostgreSQL: whoever numbers events holds it until the commit, so that a reader who has seen
a number has seen all that are lower. SQLite has one writer at a time anyway."""

_TOLD_OF_RUNS = ("name", "notes", "tags", "priority", "archived_at", "deleted_at", "slot", "notice")
"""Changes of a run's row that are told by the names of their columns."""

Told = tuple[str, str, int | str | None, dict[str, Any]]
"""Kind, run, what of it (a command's number, a checkpoint's name), and the details."""


@event.listens_for(Session, "before_flush")
def _gather(session: Session, _context: Any, _instances: Any) -> None:
    gathered: dict[tuple[str, str, int | str | None], dict[str, Any]]
    gathered = session.info.setdefault(_GATHERED, {})
    for row in [*session.new, *session.dirty]:
        if teller := _TELLERS.get(type(row)):
            for kind, run_id, part, details in teller(row):
                gathered[kind, run_id, part] = details


def store_events(session: Session) -> set[str]:
    """Write the events of this transaction, as its last act.

    Returns:
        The runs that they are about.
    """
    session.flush()
    gathered = session.info.pop(_GATHERED, {})
    if gathered:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        now = utc_now()
        session.add_all(
            EventRow(at=now, kind=kind, run_id=run_id, data=details)
            for (kind, run_id, _), details in gathered.items()
        )
        session.flush()
    return {run_id for _, run_id, _ in gathered}


def _of_run(row: RunRow) -> Iterable[Told]:
    if inspect(row).pending:
        yield "run.created", row.id, None, {"experiment": row.experiment, "parent": row.parent_id}
    elif _changed(row, "status"):
        yield "run.status", row.id, None, {"status": row.status, "step": row.step}
    if _changed(row, "desired"):
        yield "run.desired", row.id, None, {"desired": row.desired}
    if _changed(row, "revision"):
        yield "run.params", row.id, None, {"revision": row.revision}
    if fields := [name for name in _TOLD_OF_RUNS if _changed(row, name)]:
        yield "run.changed", row.id, None, {"fields": fields}


def _of_command(row: CommandRow) -> Iterable[Told]:
    if inspect(row).pending or _changed(row, "state"):
        step = row.receipt["step"] if row.receipt else None
        details = {"seq": row.seq, "kind": row.action["kind"], "state": row.state, "step": step}
        yield "command", row.run_id, row.seq, details


def _of_checkpoint(row: CheckpointRow) -> Iterable[Told]:
    if inspect(row).pending or _changed(row, "deleted_at"):
        kind = "checkpoint.written" if row.deleted_at is None else "checkpoint.deleted"
        yield kind, row.run_id, row.name, {"name": row.name, "step": row.step}


def _changed(row: Any, column: str) -> bool:
    state = inspect(row)
    return not state.pending and bool(state.attrs[column].history.has_changes())


_TELLERS: dict[type, Callable[[Any], Iterable[Told]]] = {
    RunRow: _of_run,
    CommandRow: _of_command,
    CheckpointRow: _of_checkpoint,
}
