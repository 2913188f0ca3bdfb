"""Which runs have a page that is looked at, and what is known of the tags on it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.dialects import among
from control_api.tables import PageTagRow, RunRow
from midcourse.contract.pages import Place
from midcourse.contract.runs import ENDED

ENDED_FOR = timedelta(minutes=10)
"""So long after its end a run's page is still looked at: whoever tags it then is told why not."""
BEGUN_FOR = timedelta(minutes=2)
_MOST_LETTERS = 200


def watched_runs(session: Session, now: datetime) -> dict[Place, list[str]]:
    """The runs whose pages are looked at, by where those are."""
    lately = RunRow.status.not_in(ENDED) | (RunRow.ended_at > now - ENDED_FOR)
    query = (
        select(RunRow.id, RunRow.tracking)
        .where(RunRow.deleted_at.is_(None), RunRow.tracking.is_not(None), lately)
        .order_by(RunRow.created_at)
    )
    found: dict[tuple[str, str], list[str]] = {}
    for run_id, tracking in session.execute(query):
        place = place_of((tracking or {}).get("url"))
        if place is not None:
            found.setdefault((place.entity, place.project), []).append(run_id)
    return {
        Place(entity=entity, project=project): runs for (entity, project), runs in found.items()
    }


def place_of(url: object) -> Place | None:
    """Where the page of a run is, by its address `…/entity/project/runs/id`; None: it has none."""
    if not isinstance(url, str):
        return None
    try:
        parts = [unquote(part) for part in urlsplit(url).path.strip("/").split("/")]
    except ValueError:
        return None
    if len(parts) < 4 or parts[-2] != "runs" or not all(parts[-4:]):
        return None
    entity, project = parts[-4], parts[-3]
    if max(len(entity), len(project)) > _MOST_LETTERS:
        return None
    return Place(entity=entity, project=project)


def open_tags(session: Session, run_ids: Iterable[str]) -> dict[tuple[str, str], PageTagRow]:
    """The open rows of runs, by run and tag."""
    query = select(PageTagRow).where(
        among(session, PageTagRow.run_id, run_ids), PageTagRow.closed_at.is_(None)
    )
    return {(row.run_id, row.tag): row for row in session.scalars(query)}


def copied_tags(session: Session, run_ids: Iterable[str], now: datetime) -> set[tuple[str, str]]:
    """Runs that have just begun, with the tag on another's page that they came from.

    A server that forks runs itself may have copied it to their page.
    """
    since = now - BEGUN_FOR
    just_begun = RunRow.started_at.is_(None) | (RunRow.started_at > since)
    query = (
        select(PageTagRow.child, PageTagRow.tag)
        .join(RunRow, RunRow.id == PageTagRow.child)
        .where(among(session, PageTagRow.child, run_ids), just_begun | (RunRow.created_at > since))
    )
    return {(child, tag) for child, tag in session.execute(query) if child is not None}
