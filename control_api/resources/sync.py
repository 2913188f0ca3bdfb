"""`/sync`: what is not in W&B yet, and having it tried again."""

from typing import Any

from flask import Response

from control_api.answers import Gives
from control_api.asking import note
from control_api.bell import RECONCILER
from control_api.context import context, requester
from control_api.http import answer
from control_api.problems import CannotSend
from control_api.resource import Resource
from control_api.tables import RunRow, SyncRow
from control_api.unsent import count_left, first_unsent, try_again_now, why_idle
from midcourse.contract.api.sync import SyncRun, SyncState, SyncView

MOST_RUNS = 1000
_COLUMNS = (RunRow.id, RunRow.name, RunRow.experiment, RunRow.log_offset, RunRow.tracking)

resource = Resource("sync", "What is not in Weights & Biases yet.")


@resource.get("/sync", Gives(SyncView))
def show_sync() -> Response:
    """The runs that are not all in W&B, though nobody trains them any more, and what is left.

    The control API sends them one after the other, beside everything else, where it has a key.
    """
    return answer(_view())


@resource.post("/sync", Gives(SyncView), problems=[CannotSend])
def sync_now() -> Response:
    """Try again now, without the pause after a failure; those that were given up, too."""
    here = context()
    if why := why_idle(here.settings):
        raise CannotSend(why)
    with here.database.writing() as session:
        try_again_now(session, here.now())
        note(session, requester(), "sync")
    here.database.bell.ring(RECONCILER)
    return answer(_view())


def _view() -> SyncView:
    here = context()
    now = here.now()
    with here.database.reading() as session:
        left = count_left(session, here.settings, now)
        query = first_unsent(here.settings, now, *_COLUMNS, SyncRow).limit(MOST_RUNS)
        runs = [_run(row, row[-1]) for row in session.execute(query)]
    return SyncView(
        notice=why_idle(here.settings),
        sending=left.sending,
        count=left.runs,
        left=left.rows,
        bytes_left=left.bytes,
        runs=runs,
    )


def _run(run: Any, known: SyncRow | None) -> SyncRun:
    """What is told of a run, of which there are `_COLUMNS`."""
    tracking = run.tracking or {}
    is_online = tracking.get("mode") == "online"
    sent = tracking.get("log_offset", 0) if is_online else 0
    return SyncRun(
        run=run.id,
        name=run.name,
        experiment=run.experiment,
        state=_state(known),
        left=tracking.get("left") if is_online else None,
        bytes_left=max(run.log_offset - sent, 0),
        tries=known.tries if known else 0,
        due_at=known.due_at if known and known.began_at is None else None,
        error=known.error if known else tracking.get("error"),
    )


def _state(known: SyncRow | None) -> SyncState:
    if known is None:
        return SyncState.WAITING
    if known.began_at is not None:
        return SyncState.SENDING
    return SyncState.WAITING if known.due_at is not None else SyncState.GIVEN_UP
