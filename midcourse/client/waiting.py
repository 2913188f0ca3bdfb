"""Waiting for a run to train, for longer than one request may wait."""

import time
from collections.abc import Callable

from midcourse.client.errors import Refused
from midcourse.client.transport import Transport, segment
from midcourse.contract.api.runs import RunView
from midcourse.contract.api.values import MAX_WAIT_SECONDS
from midcourse.contract.errors import Problem
from midcourse.contract.runs import RunStatus

POLL_SECONDS = 0.5
NOT_BEGUN = (RunStatus.QUEUED, RunStatus.STARTING)


def await_run(
    wire: Transport, run: RunView, wait: float | None, sleep: Callable[[float], None]
) -> RunView:
    """Look after a new run that was waited for as long as one request may, and longer.

    Raises:
        Refused: it failed before its first step.
    """
    deadline = time.monotonic() + (wait or 0) - MAX_WAIT_SECONDS
    while run.status in NOT_BEGUN and time.monotonic() < deadline:
        sleep(POLL_SECONDS)
        run = wire.get(RunView, f"/runs/{segment(run.id)}")
    if run.status is RunStatus.FAILED:
        problem = Problem(
            type="/problems/run-failed", title="The run failed", status=409, detail=run.error
        )
        raise Refused(problem, {"run": run.id})
    return run
