"""What a look at a page means: new tags, tags that came back, tags that are gone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from control_api.columns import TagState
from control_api.page_tags.obeying import Sighting
from control_api.page_tags.words import DONE, REFUSED, is_order, marker
from control_api.tables import MAX_TAG, PageTagRow
from midcourse.contract.pages import Page, Place

SETTLED = timedelta(minutes=1)
"""Until so long after a page was told, an answer without that is taken for an old one."""
AT_ONCE = 10
"""New tags of one page that are obeyed after one look; the next look finds the others."""


@dataclass(frozen=True)
class CameBack:
    """The page has a tag again, and not what stood in its place: it is to be told again."""

    row: PageTagRow


@dataclass(frozen=True)
class Gone:
    """Neither a tag nor what stood in its place is there: it may come anew."""

    row: PageTagRow


Finding = Sighting | CameBack | Gone


def marker_of(row: PageTagRow) -> str:
    """What stands on the page in place of a tag, once it is known what became of that."""
    return marker(REFUSED if row.state is TagState.REFUSED else DONE, row.tag, row.number)


def findings(
    page: Page,
    place: Place,
    known: Mapping[tuple[str, str], PageTagRow],
    copied: set[tuple[str, str]],
    now: datetime,
) -> Iterator[Finding]:
    """What there is to do after a look at a page.

    Args:
        page: as it was seen, which may be as it was some seconds ago.
        place: where it is.
        known: the open rows, by run and tag.
        copied: runs, and tags that may have come to their pages by a fork.
        now: when the look began.
    """
    new = 0
    for tag in dict.fromkeys(page.tags):
        if not is_order(tag) or len(tag) > MAX_TAG:
            continue
        row = known.get((page.run, tag))
        if row is not None and row.shown_at is None:
            continue  # it waits for its outcome, or for the page to be told
        if row is not None and marker_of(row) not in page.tags:
            yield CameBack(row)
        elif new < AT_ONCE:
            new += 1
            yield Sighting(
                run=page.run,
                tag=tag,
                place=place,
                owner=page.owner,
                at=now,
                before=None if row is None else row.number,
                is_copy=row is None and (page.run, tag) in copied,
            )
    for (run_id, tag), row in known.items():
        told = row.shown_at is not None and row.shown_at < now - SETTLED
        if run_id == page.run and told and not {tag, marker_of(row)} & {*page.tags}:
            yield Gone(row)
