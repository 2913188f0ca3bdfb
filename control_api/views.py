"""Rows as the API shows them."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from control_api.context import context
from control_api.dialects import among
from control_api.fetch_rows import troubles_of_fetches
from control_api.live import shown_values_of
from control_api.queue import queue_positions, why_it_waits, why_nothing_starts
from control_api.tables import CheckpointRow, CommandRow, RunRow
from midcourse.contract.api.commands import CommandView
from midcourse.contract.api.runs import OriginView, RunView
from midcourse.contract.commands import Revert, Undo
from midcourse.contract.runs import RunStatus
from midcourse.contract.wandb_source import LATEST, WandbSource, parse_source

API = "/api/v1"
_PARTS = ("params", "commands", "journal", "checkpoints", "metrics", "events", "logs")


def run_path(run_id: str) -> str:
    """The address of a run."""
    return f"{API}/runs/{run_id}"


def command_path(run_id: str, seq: int) -> str:
    """The address of a command."""
    return f"{run_path(run_id)}/commands/{seq}"


def run_views(session: Session, runs: list[RunRow]) -> list[RunView]:
    """Runs as clients see them."""
    counted = session.execute(
        select(CheckpointRow.run_id, func.count())
        .where(
            among(session, CheckpointRow.run_id, [run.id for run in runs]),
            CheckpointRow.deleted_at.is_(None),
        )
        .group_by(CheckpointRow.run_id)
    )
    counts = {run_id: count for run_id, count in counted}  # noqa: C416 (a Row is no pair to mypy)
    positions = queue_positions(session, runs)
    values = shown_values_of(session, runs)
    waits = any(run.status is RunStatus.QUEUED for run in runs)
    nothing_starts = why_nothing_starts(session, context().settings.slots) if waits else None
    troubles = troubles_of_fetches(session) if waits else {}
    return [
        _run_view(
            run,
            values[run.id],
            counts.get(run.id, 0),
            positions.get(run.id),
            why_it_waits(run, nothing_starts, troubles),
        )
        for run in runs
    ]


def run_view(session: Session, run: RunRow) -> RunView:
    """One run as clients see it."""
    return run_views(session, [run])[0]


def _run_view(
    run: RunRow,
    values: dict[str, Any],
    checkpoints: int,
    queue_position: int | None,
    waits_for: str | None,
) -> RunView:
    path = run_path(run.id)
    links = {
        "self": path,
        **{name: f"{path}/{name}" for name in _PARTS},
    }
    if run.parent_id is not None:
        links["parent"] = run_path(run.parent_id)
    if run.source is not None:
        links["wandb"] = _read_source(run.source).page(context().settings.wandb.url)
    if run.replay is not None:
        links["replayed"] = run_path(run.replay)
    return RunView.model_validate(
        {
            "id": run.id,
            "experiment": run.experiment,
            "name": run.name,
            "status": run.status,
            "priority": run.priority,
            "sweep": run.sweep,
            "slot": run.slot,
            "image": run.image,
            "command": run.command,
            "queue_position": queue_position,
            "waits_for": waits_for,
            "tags": run.tags,
            "notes": run.notes,
            "archived_at": run.archived_at,
            "config": run.config,
            "origin": _origin_view(run),
            "source": run.source,
            "replay": run.replay,
            "step": run.step,
            "epoch": run.epoch,
            "total_steps": run.total_steps,
            "steps_per_second": run.steps_per_second,
            "eta_seconds": _eta(run),
            "metrics": {name: value for name, (_, value) in sorted(run.latest.items())},
            "values": values,
            "revision": run.revision,
            "attempt": run.attempt,
            "error": run.error,
            "notice": run.notice,
            "summary": run.summary,
            "tracking": run.tracking,
            "checkpoints": checkpoints,
            "created_by": run.created_by,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "heartbeat_at": run.heartbeat_at,
            "links": links,
        }
    )


def _read_source(source: str) -> WandbSource:
    """The source of a fork or, without a version, of an imported run."""
    has_version = "@" in source.rpartition("/")[2]
    return parse_source(source if has_version else f"{source}@{LATEST}")


def _origin_view(run: RunRow) -> OriginView | None:
    awaited = run.source is not None and run.status is not RunStatus.IMPORTED
    parent = run.parent_id or (_read_source(run.source).run if run.source and awaited else None)
    if parent is None:
        return None
    return OriginView(
        run=run.checkpoint_run or parent,
        checkpoint=run.parent_checkpoint,
        changes=run.changes,
        warm_start=run.warm_start,
        actor=run.created_by,
        revert=run.reverts,
    )


def _eta(run: RunRow) -> float | None:
    if run.status is not RunStatus.RUNNING or run.total_steps is None or not run.steps_per_second:
        return None
    done = 0 if run.step is None else run.step + 1
    return max(0, run.total_steps - done) / run.steps_per_second


def command_view(row: CommandRow) -> CommandView:
    """A command as clients see it."""
    view = CommandView.model_validate(
        {
            "run": row.run_id,
            "seq": row.seq,
            "action": row.action,
            "actor": row.actor,
            "reason": row.reason,
            "at": row.at,
            "dry_run": row.dry_run,
            "state": row.state,
            "accepted_at": row.accepted_at,
            "delivered_at": row.delivered_at,
            "receipt": row.receipt,
            "links": {"self": command_path(row.run_id, row.seq), "run": run_path(row.run_id)},
        }
    )
    if isinstance(view.action, Revert | Undo) and not view.dry_run:
        links = {**view.links, "child": run_path(view.action.child)}
        return view.model_copy(update={"links": links})
    return view
