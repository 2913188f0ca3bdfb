"""Rows of runs that come from others, and what they are told of where they come from."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.asking import Made, Requester, record
from control_api.tables import CommandRow, RunRow
from control_api.tokens import extend_trainer_tokens
from midcourse.contract.base import utc_now
from midcourse.contract.runs import Origin, RunStatus


def new_child(
    session: Session, parent: RunRow, child_id: str, created_by: str, **columns: Any
) -> RunRow:
    """A queued run that comes from another; what `columns` does not say is as in the parent."""
    inherited = {
        "experiment": parent.experiment,
        "config": parent.config,
        "image": parent.image,
        "command": parent.command,
    }
    child = RunRow(
        id=child_id,
        status=RunStatus.QUEUED,
        created_by=created_by,
        created_at=utc_now(),
        **{**inherited, **columns},
    )
    session.add(child)
    session.flush()
    return child


def new_successor(
    session: Session, parent: RunRow, command: CommandRow, checkpoint: str | None
) -> RunRow:
    """The child that a revert or an undo is to put in its parent's place, waiting for that.

    The parent's trainer speaks for it from now on: it will ship its log one day.
    """
    child = new_child(
        session,
        parent,
        command.action["child"],
        command.actor,
        name=parent.name,
        parent_id=parent.id,
        parent_seq=command.seq,
        parent_checkpoint=checkpoint,
        pinned=checkpoint is not None,
        changes=command.action.get("changes", {}),
        replay=parent.replay,
        reverts=True,
    )
    extend_trainer_tokens(session, parent.id, child.id)
    return child


def new_replay(
    session: Session, original: RunRow, child_id: str, by: Requester, name: str | None
) -> Made:
    """A queued run that begins as another did and is fed its journal."""
    child = new_child(session, original, child_id, by.actor, name=name, replay=original.id)
    return record(session, by, "replay", child)


def children_in_waiting(session: Session, run: RunRow) -> list[str]:
    """The runs that a revert or an undo under way will put in this one's place."""
    return list(
        session.scalars(
            select(RunRow.id).where(
                RunRow.parent_id == run.id,
                RunRow.reverts,
                RunRow.attempt == 0,
                RunRow.status == RunStatus.QUEUED,
            )
        )
    )


def learn_origin(run: RunRow, origin: Origin) -> None:
    """Take over what the trainer says of where a run goes on from: of an undo, it alone knows."""
    run.parent_checkpoint = origin.checkpoint
    run.checkpoint_run = None if origin.run == run.parent_id else origin.run


def origin_of(run: RunRow) -> Origin | None:
    """Where a run comes from, as its trainer is told; None for one that is no fork."""
    if run.parent_id is None or run.parent_checkpoint is None:
        return None
    return Origin(
        run=run.checkpoint_run or run.parent_id,
        checkpoint=run.parent_checkpoint,
        changes=run.changes,
        warm_start=run.warm_start,
        actor=run.created_by,
        revert=run.reverts,
    )
