"""What the end of a trainer means for its run: go on with a new attempt, or fail, and why."""

import re
import signal
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.launchers.base import LaunchStatus
from control_api.launchers.console import last_lines
from control_api.settings import Settings
from control_api.tables import AttemptRow, RunRow
from midcourse.contract.errors import Fault
from midcourse.contract.paths import RunPaths

_PRINTED = ". It printed:\n"
_NO_WORD = 0
BAD_CONFIGURATION = 2

_IN_ORDER = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a trainer that was asked to end, and wrote a checkpoint."""

_HOPELESS = {
    _NO_WORD: "Its trainer ended with exit code 0 and its run log does not say how the run ended",
    BAD_CONFIGURATION: "Its configuration was refused (exit code 2)",
}
"""Exit codes after which another attempt would end in the same way. 1 is not among them: a program
that failed has said so in its log, and one that could not even do that may have found its run's
lock still held by what was left of the attempt before. Nor is 2 once the run has trained: the
configuration was good enough then."""


def why_hopeless(
    settings: Settings, session: Session, run: RunRow, status: LaunchStatus, how: str
) -> str | None:
    """Why a run whose trainer is gone cannot go on, for people; None if it can.

    Asked once the attempt is noted as ended and the rest of the log is taken.

    Args:
        settings: how many attempts may be futile.
        session: of the transaction.
        run: the run.
        status: of its trainer.
        how: its end in words.
    """
    code = status.exit_code
    if code in _HOPELESS and not (code == BAD_CONFIGURATION and run.started_at):
        why = _HOPELESS[code]
    elif (futile := _futile_attempts(session, run)) >= settings.futile_attempts:
        why = (
            f"Its trainer ended {futile} times in a row without getting further, the last time "
            f"{how}"
        )
    else:
        return None
    printed = last_lines(RunPaths(settings.home, run.id).console_log)
    return f"{why}{_PRINTED}{printed}" if printed else f"{why}, and printed nothing."


def refusals(run: RunRow) -> list[Fault]:
    """What a trainer printed when it refused its configuration: `path: message`, a line each."""
    _, _, printed = (run.error or "").partition(_PRINTED)
    faults = []
    for line in printed.splitlines():
        path, _, message = line.partition(": ")
        plain = message and re.fullmatch(r"\w+(\.\w+)*", path)
        faults.append(
            Fault(path=f"config.{path}", message=message) if plain else Fault(path="", message=line)
        )
    return faults


def restart_due(settings: Settings, session: Session, run: RunRow) -> datetime:
    """When a run without a trainer may get a new one: the more futile the attempts, the later."""
    attempts = _ended_attempts(session, run)
    if not attempts:
        return run.created_at
    futile = _futile_attempts(session, run)
    pause = settings.restart_seconds * 2 ** min(futile - 1, 30) if futile else 0.0
    pause = min(pause, settings.longest_restart_seconds)
    return (attempts[-1].ended_at or run.created_at) + timedelta(seconds=pause)


def how_it_ended(status: LaunchStatus) -> str:
    """A trainer's end in words."""
    if status.exit_code is None:
        return status.why or "without anybody to see its exit code"
    if status.exit_code < 0:
        how = f"by {signal.Signals(-status.exit_code).name}"
    else:
        how = f"with exit code {status.exit_code}"
    return f"{how}, {status.why}" if status.why else how


def _futile_attempts(session: Session, run: RunRow) -> int:
    """How many of the last attempts, in a row, died no further than one before them.

    One that was asked to end, or whose run was paused, says nothing of the run's chances.
    """
    furthest, futile = -1, 0
    for attempt in _ended_attempts(session, run):
        if attempt.step is not None and attempt.step > furthest:
            furthest, futile = attempt.step, 0
        elif attempt.exit_code not in _IN_ORDER and not attempt.paused:
            futile += 1
    return futile


def _ended_attempts(session: Session, run: RunRow) -> list[AttemptRow]:
    return list(
        session.scalars(
            select(AttemptRow)
            .where(AttemptRow.run_id == run.id, AttemptRow.ended_at.is_not(None))
            .order_by(AttemptRow.number)
        )
    )
