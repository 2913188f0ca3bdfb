"""What a page is told of a tag: another tag in its place, and a line in the notes."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.columns import TagState
from control_api.page_tags.reading import marker_of
from control_api.page_tags.words import note_line
from control_api.tables import PageTagRow
from midcourse.contract.pages import MarkPage, Place

_EARLIER = 20
"""Of the same tag; what stands on the page for them makes room."""


def mark_of(session: Session, row: PageTagRow) -> MarkPage:
    """What to ask for, so that the page of a run says what became of a tag."""
    return MarkPage(
        place=Place(entity=row.entity, project=row.project),
        run=row.run_id,
        remove=[row.tag, *map(marker_of, _earlier(session, row))],
        add=marker_of(row),
        note=_note(row),
    )


def _earlier(session: Session, row: PageTagRow) -> list[PageTagRow]:
    query = (
        select(PageTagRow)
        .where(
            PageTagRow.run_id == row.run_id,
            PageTagRow.tag == row.tag,
            PageTagRow.number < row.number,
        )
        .order_by(PageTagRow.number.desc())
        .limit(_EARLIER)
    )
    return list(session.scalars(query))


def _note(row: PageTagRow) -> str | None:
    if row.came_back:
        text = f"it stood here again without {marker_of(row)}, and was not obeyed again"
        return note_line(row.tag, row.state, row.number, text)
    if row.state is TagState.REFUSED:
        return note_line(row.tag, row.state, row.number, row.reason or "")
    if row.child is not None:
        return note_line(row.tag, row.state, row.number, f"run {row.child}")
    return None
