"""Which checkpoints of a run others need: those that began from them, and have not been deleted.

A deleted run needs its own no longer, unless others came from it: what keeps them whole reaches
back to the root.
"""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.tables import RunRow
from midcourse.contract.runs import ENDED, RunStatus

Needs = dict[str, list[str]]
"""Checkpoint → the runs that need it."""


def checkpoints_needed(session: Session, run_id: str) -> Needs:
    """The checkpoints of a run that others came from, with those that are not deleted."""
    start = select(RunRow.id).where(RunRow.parent_id == run_id)
    down = start.cte("descendants", recursive=True)
    down = down.union(select(RunRow.id).join(down, RunRow.parent_id == down.c.id))
    columns = (
        RunRow.id,
        RunRow.parent_id,
        RunRow.checkpoint_run,
        RunRow.parent_checkpoint,
        RunRow.deleted_at,
        RunRow.status,
        RunRow.attempt,
    )
    rows = session.execute(
        select(*columns)
        .join(down, RunRow.id == down.c.id)
        .order_by(RunRow.created_at.desc(), RunRow.id)
    ).all()
    came_from: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        if row.parent_checkpoint is not None:
            source = row.checkpoint_run or row.parent_id
            came_from[source].append((row.id, row.parent_checkpoint))
    lives = {
        row.id: row.deleted_at is None and not never_began(row.status, row.attempt) for row in rows
    }
    needs: defaultdict[str, list[str]] = defaultdict(list)
    for child, checkpoint in came_from[run_id]:
        needs[checkpoint] += _living(child, lives, came_from)
    return {name: sorted(by) for name, by in sorted(needs.items()) if by}


def _living(
    first: str, lives: dict[str, bool], came_from: dict[str, list[tuple[str, str]]]
) -> Iterable[str]:
    """The run itself or, if it is gone, the nearest ones that came from it and are not."""
    waiting, found = [first], []
    while waiting:
        run_id = waiting.pop()
        if lives[run_id]:
            found.append(run_id)
        else:
            waiting += [child for child, _ in came_from.get(run_id, ())]
    return found


def never_began(status: RunStatus, attempt: int) -> bool:
    """Whether a run ended before a trainer was started for it: it needs nothing any more."""
    return status in ENDED and attempt == 0
