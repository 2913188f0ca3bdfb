"""The queue: runs that wait for a slot. The higher priority goes first, then the older run.

Age counts from the submission, so a run that was suspended comes back to its old place.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.columns import Desired
from control_api.lease import LEASE, trouble_of
from control_api.slots import SLOTS, Slot
from control_api.tables import RunRow
from midcourse.contract.runs import RunStatus

_WAITS = (
    RunRow.status == RunStatus.QUEUED,
    RunRow.desired == Desired.TRAINED,
    # Not a child that awaits its revert, nor a fork that awaits its checkpoint.
    (RunRow.attempt > 0) | RunRow.reverts.is_(False),
    (RunRow.attempt > 0) | RunRow.parent_id.is_(None) | RunRow.parent_checkpoint.is_not(None),
    (RunRow.attempt > 0) | RunRow.source.is_(None) | RunRow.parent_checkpoint.is_not(None),
)
_ORDER = (RunRow.priority.desc(), RunRow.created_at, RunRow.id)


def queued_runs(session: Session) -> list[str]:
    """The ids of runs that would start now if there were slots enough, the next one first."""
    return list(session.scalars(select(RunRow.id).where(*_WAITS).order_by(*_ORDER)))


def queued_rows(session: Session) -> list[RunRow]:
    """The same, with all that there is to know."""
    return list(session.scalars(select(RunRow).where(*_WAITS).order_by(*_ORDER)))


def free_slots(session: Session, slots: Iterable[Slot]) -> list[str]:
    """Names of slots that nobody has, in the order in which they are given out."""
    taken = set(session.scalars(select(RunRow.slot).where(RunRow.slot.is_not(None))))
    return [slot.name for slot in slots if slot.name not in taken]


def slots_with_runs(session: Session, slots: Iterable[Slot]) -> list[tuple[str, RunRow | None]]:
    """All slots by name, with the runs that have them; last, those that are offered no longer."""
    rows = session.scalars(select(RunRow).where(RunRow.slot.is_not(None)).order_by(RunRow.slot))
    taken = {str(run.slot): run for run in rows}
    offered = [(slot.name, taken.pop(slot.name, None)) for slot in slots]
    return [*offered, *taken.items()]


def queue_positions(session: Session, runs: Iterable[RunRow]) -> dict[str, int]:
    """The places in the queue, from 1, of those of the runs that are in it."""
    if not any(run.status is RunStatus.QUEUED for run in runs):
        return {}
    return {run_id: place for place, run_id in enumerate(queued_runs(session), start=1)}


def why_it_waits(
    run: RunRow, nothing_starts: str | None, troubles: Mapping[str, str]
) -> str | None:
    """What a queued run waits for, in a sentence; None where it is not queued.

    Args:
        run: the run.
        nothing_starts: `why_nothing_starts`.
        troubles: `troubles_of_fetches`.
    """
    if run.status is not RunStatus.QUEUED:
        return None
    if run.desired is not Desired.TRAINED:
        return f"It is about to be {run.desired}."
    if run.reverts and not run.attempt:
        return f"It waits for run {run.parent_id} to go back, and goes on in its place."
    if run.source is not None and run.parent_checkpoint is None and not run.attempt:
        trouble = troubles.get(run.source)
        awaited = f"It waits for its checkpoint from W&B, {run.source}."
        return f"{awaited} {trouble}" if trouble else awaited
    if run.parent_id is not None and run.parent_checkpoint is None and not run.attempt:
        return f"It waits for a checkpoint of run {run.parent_id}, from which it is to start."
    return nothing_starts or "It waits for a slot."


def why_nothing_starts(session: Session, slots: Sequence[Slot]) -> str | None:
    """Why no run starts, whatever its turn; None where it can."""
    if not slots:
        return f"There are no slots, so nothing starts: set {SLOTS}."
    trouble = trouble_of(session, LEASE)
    return None if trouble is None else f"Nothing is started just now: {trouble}."
