"""What people call a run, told to its trackers: `labels.json` in its folder."""

from pathlib import Path

from control_api.database import Database
from control_api.folder import labels_of, write_labels
from control_api.tables import RunRow
from midcourse.contract.runs import RunLabels


def show_labels(database: Database, home: Path, run_id: str, labels: RunLabels) -> None:
    """Write labels that were stored, and what others have stored since.

    Of two edits at once, the earlier one may come to write last: whoever writes looks afterwards.
    """
    wanted: RunLabels | None = labels
    while wanted is not None:
        write_labels(home, run_id, wanted)
        with database.reading() as session:
            run = session.get(RunRow, run_id)
        is_there = run is not None and run.deleted_at is None
        stored = labels_of(run) if run is not None and is_there else wanted
        wanted = None if stored == wanted else stored
