"""What people write beside a run, and its training takes no notice of: name, notes, tags."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import event

from control_api.asking import Made, Requester, record
from control_api.database import Database
from control_api.folder import labels_of
from control_api.labels import show_labels
from control_api.lifecycle import get_run
from control_api.tables import RunRow
from midcourse.contract.api.runs import EditRun
from midcourse.contract.api.values import MAX_TAGS
from midcourse.contract.base import utc_now
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.runs import RunLabels


def edit_run(database: Database, home: Path, run_id: str, changes: EditRun, by: Requester) -> Made:
    """Change what is named, and leave the rest.

    Raises:
        UnknownRun, RunDeleted: there is no such run.
    """
    named = changes.model_fields_set

    def edit(run: RunRow) -> None:
        for field in ("name", "notes", "tags", "priority"):
            if field in named:
                setattr(run, field, getattr(changes, field))
        if "archived" in named:
            set_archived(run, archived=changes.archived)

    return _change(database, home, run_id, "edit", edit, by)


def archive_run(
    database: Database, home: Path, run_id: str, by: Requester, *, archived: bool
) -> Made:
    """Take a run out of sight, or bring it back.

    Raises:
        UnknownRun, RunDeleted: there is no such run.
    """
    action = "archive" if archived else "unarchive"

    def archive(run: RunRow) -> None:
        set_archived(run, archived=archived)

    return _change(database, home, run_id, action, archive, by)


def tag_run(database: Database, home: Path, run_id: str, tags: list[str], by: Requester) -> Made:
    """Give a run tags, behind those that it has.

    Raises:
        UnknownRun, RunDeleted: there is no such run.
        InvalidInput: it would have too many.
    """
    return _change(database, home, run_id, "tag", lambda run: add_tags(run, tags), by)


def untag_run(database: Database, home: Path, run_id: str, tags: list[str], by: Requester) -> Made:
    """Take tags from a run; those that it does not have are none the less gone.

    Raises:
        UnknownRun, RunDeleted: there is no such run.
    """

    def untag(run: RunRow) -> None:
        run.tags = [tag for tag in run.tags if tag not in tags]

    return _change(database, home, run_id, "untag", untag, by)


def set_archived(run: RunRow, *, archived: bool) -> None:
    """Note since when a run is archived; archiving twice is archiving once."""
    run.archived_at = (run.archived_at or utc_now()) if archived else None


def add_tags(run: RunRow, tags: list[str]) -> None:
    """Add those that it does not have.

    Raises:
        InvalidInput: it would have too many.
    """
    together = [*run.tags, *(tag for tag in tags if tag not in run.tags)]
    if len(together) > MAX_TAGS:
        message = f"run {run.id} would have {len(together)} tags; {MAX_TAGS} are allowed"
        raise InvalidInput([Fault(path="tags", message=message, allowed={"le": MAX_TAGS})])
    run.tags = together


def _change(
    database: Database,
    home: Path,
    run_id: str,
    action: str,
    change: Callable[[RunRow], None],
    by: Requester,
) -> Made:
    stored: list[RunLabels] = []
    with database.writing() as session:
        run = get_run(session, run_id, for_change=True)
        before = labels_of(run)
        change(run)
        labels = labels_of(run)
        if labels != before:  # a rehearsal commits nothing, and must show nothing
            event.listen(session, "after_commit", lambda _: stored.append(labels))
        made = record(session, by, action, run)
    if stored:
        show_labels(database, home, run_id, labels)
    return made
