"""Events: what happened to runs, each with a number, in the order in which it was kept.

Nobody reports them. They are read off the rows that a transaction changes, so none is forgotten,
and they are stored in that transaction, so none is told that did not happen. `/events` sends them
to people, `control_api.event_tail` to waiters in other processes.

A change is what differs between the beginning and the end of a transaction: it is told once,
however many statements it took, and what was changed back is not told at all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import ORMExecuteState, Session

from control_api.rows import insert_in_turn_and_commit
from control_api.tables import CheckpointRow, CommandRow, EventRow, RunRow
from midcourse.contract.api.events import EventKind
from midcourse.contract.base import utc_now

_SEEN = "events"
_NUMBERING = 0x6D63_6576
"""Whoever numbers events keeps others from it until the commit, so that a reader who has seen a
number has seen all that are lower."""

_TOLD_OF_RUNS = ("name", "notes", "tags", "priority", "archived_at", "deleted_at", "slot", "notice")
"""Changes of a run's row that are told by the names of their columns."""

_WATCHED: dict[type, tuple[str, ...]] = {
    RunRow: ("status", "desired", "revision", *_TOLD_OF_RUNS),
    CommandRow: ("state",),
    CheckpointRow: ("deleted_at",),
}
_UNKNOWN = object()
"""Was not loaded before it was changed."""

Told = tuple[EventKind, str, dict[str, Any]]
"""Kind, run and details."""


@dataclass
class _Seen:
    """What a transaction has done to a row so far."""

    made: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    """Column → value when the transaction began, of those that were changed."""

    def changed(self, row: Any) -> frozenset[str]:
        """The columns that differ by now."""
        return frozenset(name for name, value in self.before.items() if value != getattr(row, name))


@event.listens_for(Session, "before_flush")
def _see(session: Session, _context: Any, _instances: Any) -> None:
    all_seen: dict[Any, _Seen] = session.info.setdefault(_SEEN, {})
    for row in session.new:
        if type(row) in _WATCHED:
            all_seen.setdefault(row, _Seen()).made = True
    for row in session.dirty:
        for column in _WATCHED.get(type(row), ()):
            history = inspect(row).attrs[column].history
            if history.has_changes():
                seen = all_seen.setdefault(row, _Seen())
                seen.before.setdefault(column, history.deleted[0] if history.deleted else _UNKNOWN)


@event.listens_for(Session, "do_orm_execute")
def _refuse_changes_unseen(state: ORMExecuteState) -> None:
    """Rows that are watched are changed one by one: a statement over many would tell nobody."""
    changes = state.is_insert or state.is_update or state.is_delete
    mapper = state.bind_mapper
    if changes and mapper is not None and mapper.class_ in _WATCHED:
        columns = {column.key for column in getattr(state.statement, "_values", None) or {}}
        unwatched = state.is_update and columns and columns.isdisjoint(_WATCHED[mapper.class_])
        assert unwatched, f"a statement over {mapper.class_.__name__} would tell nobody of it"


def store_events(session: Session) -> set[str]:
    """Write the events of this transaction, as its last act; it may be committed by then.

    Returns:
        The runs that they are about.
    """
    session.flush()
    all_seen: dict[Any, _Seen] = session.info.pop(_SEEN, {})
    told = [
        each
        for row, seen in all_seen.items()
        if not inspect(row).transient  # made and undone, by a savepoint
        for each in _TELLERS[type(row)](row, seen.made, seen.changed(row))
    ]
    if told:
        now = utc_now()
        rows = [
            {"at": now, "kind": kind, "run_id": run_id, "data": details}
            for kind, run_id, details in told
        ]
        insert_in_turn_and_commit(session, EventRow, rows, _NUMBERING)
    return {run_id for _, run_id, _ in told}


def _of_run(row: RunRow, made: bool, changed: frozenset[str]) -> Iterable[Told]:
    if made:
        details = {"experiment": row.experiment, "parent": row.parent_id}
        yield EventKind.RUN_CREATED, row.id, details
    if "status" in changed:
        yield EventKind.RUN_STATUS, row.id, {"status": row.status, "step": row.step}
    if "desired" in changed:
        yield EventKind.RUN_DESIRED, row.id, {"desired": row.desired}
    if "revision" in changed:
        yield EventKind.RUN_PARAMS, row.id, {"revision": row.revision}
    if fields := [name for name in _TOLD_OF_RUNS if name in changed]:
        yield EventKind.RUN_CHANGED, row.id, {"fields": fields}


def _of_command(row: CommandRow, made: bool, changed: frozenset[str]) -> Iterable[Told]:
    if made or changed:
        step = row.receipt["step"] if row.receipt else None
        details = {"seq": row.seq, "kind": row.action["kind"], "state": row.state, "step": step}
        yield EventKind.COMMAND, row.run_id, details


def _of_checkpoint(row: CheckpointRow, made: bool, changed: frozenset[str]) -> Iterable[Told]:
    if made or changed:
        there = row.deleted_at is None
        kind = EventKind.CHECKPOINT_WRITTEN if there else EventKind.CHECKPOINT_DELETED
        yield kind, row.run_id, {"name": row.name, "step": row.step}


_TELLERS: dict[type, Callable[[Any, bool, frozenset[str]], Iterable[Told]]] = {
    RunRow: _of_run,
    CommandRow: _of_command,
    CheckpointRow: _of_checkpoint,
}
