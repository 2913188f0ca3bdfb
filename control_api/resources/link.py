"""`/runs/{id}/link/…`: the trainer's side door. `midcourse.contract.link` is its protocol."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.bell import run_key
from control_api.context import context
from control_api.http import answer, read_body, read_query
from control_api.ingest import ingest
from control_api.lifecycle import PENDING, get_run
from control_api.problems import LostPlace, MalformedBody, WrongOffset
from control_api.tables import AttemptRow, CommandRow, RunRow
from midcourse.contract.base import MAX_INTEGER, Record, utc_now
from midcourse.contract.commands import Command
from midcourse.contract.link import CommandsAnswer, Heartbeat, LogAnswer
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import ENDED, RunStatus

blueprint = Blueprint("link", __name__, url_prefix="/runs/<run_id>/link")

Natural = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


_LIVE = frozenset({RunStatus.RUNNING, RunStatus.PAUSED})


class CommandsQuery(Record):
    """Query of the long-poll."""

    attempt: Natural
    after: Natural = 0
    wait: float = Field(default=0.0, ge=0.0, le=60.0)


class LogQuery(Record):
    """Query of a shipment of run log."""

    attempt: Natural
    offset: Natural


class HeartbeatQuery(Record):
    """Query of a heartbeat: its body names the attempt, which may stand here too."""

    attempt: Natural | None = None


@blueprint.get("/commands")
def commands(run_id: str) -> Response:
    """Commands numbered above `after`, as soon as there are any; they count as delivered."""
    query = read_query(CommandsQuery)
    database = context().database

    def look() -> list[CommandRow] | None:
        with database.reading() as session:
            _check_place(session, get_run(session, run_id), query.attempt)
            waiting = (
                select(CommandRow)
                .where(
                    CommandRow.run_id == run_id,
                    CommandRow.seq > query.after,
                    CommandRow.state.in_(PENDING),
                )
                .order_by(CommandRow.seq)
            )
            return list(session.scalars(waiting)) or None

    found = database.bell.await_value(run_key(run_id), look, query.wait) or []
    if any(row.state is CommandState.ACCEPTED for row in found):
        found = _mark_delivered(run_id, [row.seq for row in found])
    return answer(CommandsAnswer(commands=[_command(row) for row in found]))


@blueprint.post("/log")
def ship_log(run_id: str) -> Response:
    """Store the whole lines of the body, if they begin where the stored part ends."""
    query = read_query(LogQuery)
    request.max_content_length = context().settings.max_log_bytes
    data = request.get_data()
    with context().database.writing() as session:
        run = get_run(session, run_id, for_change=True)
        _check_place(session, run, query.attempt)
        if query.offset != run.log_offset:
            raise WrongOffset(
                f"{run.log_offset} bytes of this log are stored, so it goes on there and not at "
                f"{query.offset}.",
                next_offset=run.log_offset,
            )
        if data and b"\n" not in data:
            raise MalformedBody("The body holds no whole line, ended by a newline.")
        ingest(session, run, data)
    return answer(LogAnswer(next_offset=run.log_offset))


@blueprint.post("/heartbeat")
def heartbeat(run_id: str) -> Response:
    """Note where the trainer is. What it did, and how it ended, is told by its log alone."""
    read_query(HeartbeatQuery)
    beat = read_body(Heartbeat)
    with context().database.writing() as session:
        run = get_run(session, run_id, for_change=True)
        _check_place(session, run, beat.attempt)
        run.heartbeat_at = utc_now()
        if beat.tracking is not None:
            run.tracking = beat.tracking.model_dump(mode="json")
        if run.status not in ENDED:
            run.step, run.epoch = beat.step, beat.epoch
            if run.status in _LIVE and beat.status in _LIVE:
                run.status = beat.status
            run.steps_per_second = beat.steps_per_second
            run.total_steps = run.total_steps if beat.total_steps is None else beat.total_steps
    return answer(LogAnswer(next_offset=run.log_offset))


def _check_place(session: Session, run: RunRow, attempt: int) -> None:
    """Only the run's present trainer may speak for it.

    A run that is to take its parent's place by a revert may hear from the trainer before the
    parent's log has told that it did: until then the parent's attempt is the one that counts.
    """
    holder = run
    if run.reverts and not run.attempt and run.parent_id is not None:
        holder = get_run(session, run.parent_id)
    present = holder.attempt
    row = session.get(AttemptRow, (holder.id, attempt))
    given_up = row is not None and row.ended_at is not None and holder.status not in ENDED
    if attempt != present or given_up:
        raise LostPlace(
            f"Run {run.id} is at attempt {present}; attempt {attempt} has lost its place "
            "and must end."
        )


def _mark_delivered(run_id: str, seqs: list[int]) -> list[CommandRow]:
    """Note the delivery of those that still wait; a command that ended meanwhile is left out."""
    with context().database.writing() as session:
        rows = session.scalars(
            select(CommandRow)
            .where(
                CommandRow.run_id == run_id,
                CommandRow.seq.in_(seqs),
                CommandRow.state.in_(PENDING),
            )
            .order_by(CommandRow.seq)
            .with_for_update()
        ).all()
        now = utc_now()
        for row in rows:
            if row.state is CommandState.ACCEPTED:
                row.state = CommandState.DELIVERED
                row.delivered_at = now
    return list(rows)


def _command(row: CommandRow) -> Command:
    return Command.model_validate(
        {
            "run": row.run_id,
            "seq": row.seq,
            "actor": row.actor,
            "accepted_at": row.accepted_at,
            "action": row.action,
            "reason": row.reason,
            "at": row.at,
            "dry_run": row.dry_run,
        }
    )
