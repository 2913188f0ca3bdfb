"""Where `undo` goes: the checkpoint that was taken before the last change."""

from midcourse.branch import Branch, read_run_file
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.commands import CHANGING, FORK_SEQ
from midcourse.contract.journal import Intent
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.errors import CommandRejected
from midcourse.journal import Journal


def undo_point(branch: Branch) -> tuple[CheckpointStore, str]:
    """The checkpoint before the last change of a branch, its ancestors' changes included.

    Returns:
        The store that has it, and its name.

    Raises:
        CommandRejected: nothing was changed, or the checkpoint is not there.
    """
    home, run_file, journal = branch.paths.home, branch.run_file, branch.journal
    position = len(journal.intents)
    while (last := _last_change(journal, position)) is None:
        origin = run_file.origin
        if origin is None:
            raise CommandRejected("nothing was changed in this run, so there is nothing to undo")
        paths = RunPaths(home, origin.run)
        run_file, journal = read_run_file(paths.run_file), Journal(paths.journal)
        # What the ancestor did after the checkpoint is no part of this branch.
        position = CheckpointStore(paths).manifest(origin.checkpoint).journal_position
    run, name = run_file.id, last.undo_to
    if last.command.seq == FORK_SEQ:
        assert run_file.origin is not None
        run, name = run_file.origin.run, run_file.origin.checkpoint
        if run_file.origin.warm_start:
            raise CommandRejected(
                f"the last change is the edited model with which run {run_file.id} began, and "
                f"which this program has; fork run {run} at {name} to train the old one"
            )
    store = CheckpointStore(RunPaths(home, run))
    if name not in store.names():
        raise CommandRejected(
            f"there is no checkpoint from before command {last.command.seq} of run {run_file.id}"
        )
    return store, name


def _last_change(journal: Journal, position: int) -> Intent | None:
    """The last intent up to a position that changed how the run trains on; None if none did."""
    for intent in reversed(journal.intents[:position]):
        outcome = journal.outcomes.get(intent.position)
        acted = outcome is None or outcome.state is CommandState.APPLIED
        if acted and isinstance(intent.command.action, CHANGING):
            return intent
    return None
