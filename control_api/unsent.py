"""Runs that are not all in W&B, though nobody trains them any more: what the sync job sends."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, case, delete, exists, func, select, update
from sqlalchemy.orm import Session

from control_api.settings import Settings
from control_api.tables import AttemptRow, RunRow, SyncRow
from midcourse.contract.runs import ENDED, RunStatus

SDK: Final = "wandb"
OWN_TRACKER_SECONDS: Final = 60.0
"""How long after its last sign of life a run's own tracker may be at work, and is left to it."""
_AT_REST: Final = frozenset({*ENDED, RunStatus.SUSPENDED})
"""Not `interrupted`: such a run gets a trainer again, or ends."""

_state = RunRow.tracking["state"].as_string()
_mode = RunRow.tracking["mode"].as_string()


def why_idle(settings: Settings) -> str | None:
    """Why nothing can be sent, for people; None where it can."""
    if not settings.wandb.sync:
        return "MIDCOURSE_SYNC is off. `midcourse sync` sends what is left."
    if not settings.wandb.can_log_online:
        return (
            "The control API has no WANDB_API_KEY, or WANDB_MODE is not online. `midcourse sync` "
            "sends what is left, where there is a key."
        )
    if find_spec(SDK) is None:
        return (
            f"The package {SDK} is not installed where the control API runs: `pip install {SDK}`, "
            "or `midcourse sync` where it is."
        )
    return None


def unsent(settings: Settings, now: datetime, *columns: Any) -> Select[*tuple[Any, ...]]:
    """Columns of the runs that are not all in W&B, and of what the sync job knows of them, or null.

    A run that logged offline is one of them only where a key shows that it is meant to be online.
    Rows of runs are large, and there may be many: ask for what is needed, and for how many.
    """
    last_seen = func.coalesce(RunRow.ended_at, RunRow.heartbeat_at, RunRow.created_at)
    long_gone = last_seen < now - timedelta(seconds=OWN_TRACKER_SECONDS)
    left: ColumnElement[bool] = (
        _state.in_(("behind", "failed"))
        | ((_state == "running") & long_gone)
        | SyncRow.began_at.is_not(None)
    )
    if settings.wandb.can_log_online:
        left |= _mode == "offline"
    return (
        select(*columns)
        .select_from(RunRow)
        .outerjoin(SyncRow, SyncRow.run_id == RunRow.id)
        .where(_at_rest(), RunRow.tracking.is_not(None), _mode != "disabled", left)
    )


def first_unsent(settings: Settings, now: datetime, *columns: Any) -> Select[*tuple[Any, ...]]:
    """The same, the oldest first, and so no fork before its parent."""
    return unsent(settings, now, *columns).order_by(RunRow.created_at, RunRow.id)


def next_due(
    session: Session, settings: Settings, now: datetime, *, known_only: bool = False
) -> str | None:
    """The run whose turn it is; None where none is due.

    Args:
        session: on the database.
        settings: whether what logged offline is to be sent.
        now: the time.
        known_only: look only at what was tried before: that is quick, and all runs are not.
    """
    tried = SyncRow.due_at <= now
    query = first_unsent(settings, now, RunRow.id).limit(1)
    if known_only:
        query = query.where(tried, RunRow.id.in_(select(SyncRow.run_id).where(tried)))
    else:
        query = query.where(SyncRow.run_id.is_(None) | tried)
    found: str | None = session.scalar(query)
    return found


@dataclass(frozen=True)
class Left:
    """How much is not in W&B, of all runs."""

    runs: int
    rows: int
    """As far as that is known."""
    bytes: int
    """Of their logs."""
    sending: str | None
    """The run that is being sent."""


def count_left(session: Session, settings: Settings, now: datetime) -> Left:
    """Add up what is not in W&B."""
    is_online = _mode == "online"
    sent = case((is_online, func.coalesce(RunRow.tracking["log_offset"].as_float(), 0.0)), else_=0)
    behind = RunRow.log_offset - sent
    counted = unsent(
        settings,
        now,
        func.count(),
        func.sum(case((is_online, RunRow.tracking["left"].as_float()), else_=0)),
        func.sum(case((behind > 0, behind), else_=0)),
        func.max(case((SyncRow.began_at.is_not(None), RunRow.id))),
    )
    runs, rows, size, sending = session.execute(counted).one()
    return Left(runs, int(rows or 0), int(size or 0), sending)


def may_be_sent(session: Session, run_id: str) -> bool:
    """Whether it is there and at rest: what trains has a tracker of its own."""
    return session.scalar(select(RunRow.id).where(RunRow.id == run_id, _at_rest())) is not None


def is_sent(tracking: dict[str, Any] | None) -> bool:
    """Whether a tracker says that all of its run is in W&B."""
    return (
        tracking is not None
        and tracking["mode"] == "online"
        and tracking["state"] == "finished"
        and not tracking.get("left")
    )


def try_again_now(session: Session, now: datetime) -> None:
    """Have every run tried as if for the first time; the one that is being sent goes on."""
    session.execute(update(SyncRow).where(SyncRow.began_at.is_(None)).values(tries=0, due_at=now))


def forget_begun(session: Session) -> None:
    """Who was sending is gone."""
    session.execute(update(SyncRow).where(SyncRow.began_at.is_not(None)).values(began_at=None))


def forget(session: Session, run_id: str) -> None:
    """There is nothing more to be sent of it, for now."""
    session.execute(delete(SyncRow).where(SyncRow.run_id == run_id))


def _at_rest() -> ColumnElement[bool]:
    has_trainer = exists().where(AttemptRow.run_id == RunRow.id, AttemptRow.ended_at.is_(None))
    return (
        RunRow.deleted_at.is_(None)
        & RunRow.status.in_(_AT_REST)
        & (RunRow.attempt > 0)
        & ~has_trainer
    )
