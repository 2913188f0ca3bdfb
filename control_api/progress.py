"""Progress: what each report changes of a run's row, written for many runs by one statement.

The ORM would send an UPDATE for each of them, which costs as much as all the rest of a report.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, bindparam, inspect, update
from sqlalchemy.orm import Session

from control_api.rows import telling, told_rows
from control_api.tables import RunRow

_COLUMNS = (
    *("step", "epoch", "total_steps", "steps_per_second"),
    *("heartbeat_at", "log_offset", "latest"),
)
"""What changes all the time, and is no event (`control_api.events`)."""


def write_progress(session: Session, runs: Sequence[RunRow]) -> None:
    """Write what reports have changed of runs, whose rows the caller holds for change.

    The session forgets the rows that had nothing but progress; the others are left to its flush.
    """
    plain = [run for run in runs if _changed(run) <= set(_COLUMNS)]
    if not plain:
        return
    connection = session.connection()
    if session.get_bind().dialect.name == "postgresql":
        rows = [{"id": run.id, **_progress(run)} for run in plain]
        connection.execute(_CHANGE_AS_TOLD, telling(rows))
    else:
        connection.execute(_CHANGE, [{"of_run": run.id, **_progress(run)} for run in plain])
    for run in plain:
        session.expunge(run)


def _changed(run: RunRow) -> set[str]:
    before = inspect(run).committed_state
    return {name for name, value in before.items() if value != getattr(run, name)}


def _progress(run: RunRow) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _COLUMNS}


_RUNS = RunRow.__table__
assert isinstance(_RUNS, Table)
_TOLD = told_rows(RunRow, ("id", *_COLUMNS))
_CHANGE_AS_TOLD = (
    update(_RUNS).where(_RUNS.c.id == _TOLD.c.id).values({name: _TOLD.c[name] for name in _COLUMNS})
)
_CHANGE = (
    update(_RUNS)
    .where(_RUNS.c.id == bindparam("of_run"))
    .values({name: bindparam(name) for name in _COLUMNS})
)
