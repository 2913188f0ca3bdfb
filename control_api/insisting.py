"""How a trainer is told again that was told to go, and has not gone."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from control_api.columns import Desired
from control_api.settings import Settings
from control_api.tables import AttemptRow, RunRow
from control_api.wishes import pending_wishes


@dataclass(frozen=True)
class Insistence:
    """What is done about it."""

    force: bool
    """Not asked, but killed."""
    words: str
    """For people."""


def insistence(
    settings: Settings, session: Session, run: RunRow, attempt: AttemptRow, now: datetime
) -> Insistence | None:
    """What to do about a trainer that may not be doing as it was told.

    It is told at a step boundary, so a long step, or one that never ends, keeps it from hearing.
    SIGTERM ends a program that has its hands free; after SIGKILL, the run goes on from its last
    checkpoint one day, to the same bits.

    Returns:
        None where it does, or has still time to.
    """
    if run.desired is Desired.TRAINED:
        return None
    told = [row for row in pending_wishes(session, run) if row.action["kind"] != "resume"]
    if not told:
        return None  # it has acted, and its process is about to end
    since = max(told[0].accepted_at, attempt.started_at)
    waited = (now - since).total_seconds()
    if waited < settings.obey_seconds:
        return None
    kind, seconds = told[0].action["kind"], f"{settings.obey_seconds:g}"
    if waited < 2 * settings.obey_seconds:
        words = f"Its trainer has not heard the {kind} for {seconds} seconds: SIGTERM asks it again"
        return Insistence(force=False, words=words)
    words = f"Its trainer did not hear the {kind}, nor SIGTERM for {seconds} seconds: it is killed"
    return Insistence(force=True, words=words)
