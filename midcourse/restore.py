"""Finding a run's place again: fresh, after a crash, as a fork, or as a revert's child."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midcourse.branch import Branch
from midcourse.checkpointer import Checkpointer
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, Manifest
from midcourse.contract.commands import (
    FORK_SEQ,
    Changes,
    Command,
    Fork,
    Pause,
    Resume,
    Stop,
    Suspend,
)
from midcourse.contract.names import BEFORE_FIRST_STEP
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import DatasetUsed, Notice, Started
from midcourse.contract.runs import Origin, RunStatus
from midcourse.errors import CheckpointUnusable
from midcourse.receipting import settle

if TYPE_CHECKING:
    from midcourse.engine import Engine

logger = logging.getLogger(__name__)


def load_place(session: "Engine", branch: Branch) -> Manifest | None:
    """Load what the branch goes on from: its last good checkpoint, or that of its origin.

    Returns:
        The manifest of what was loaded; None where the branch begins afresh.

    Raises:
        CheckpointUnusable: the origin's checkpoint is damaged, or does not fit the program.
        InvalidInput: the fork's changes are not acceptable.
        Exception: they could not be carried out.
    """
    manifest, state = _last_good(branch)
    origin = branch.run_file.origin
    if manifest is None and origin is not None:
        store = CheckpointStore(RunPaths(branch.paths.home, origin.run))
        store.pin(origin.checkpoint, branch.id)
        manifest, state = store.load(origin.checkpoint)
    if manifest is None:
        return None
    foreign = manifest.checkpoint.run != branch.id
    warm = foreign and origin is not None and origin.warm_start
    session.current_step, session.warm_start_report = session.tracked.load(state, warm=warm)
    session.moves += 1
    if origin is None or branch.journal.has_fork_changes:
        return manifest
    if origin.changes or origin.warm_start:
        # What the objects do not take is refused here, before the journal promises it.
        session.parameters.try_out(session.parameters.check(origin.changes))
        branch.journal.intend(
            session.last_step_of_boundary,
            _fork_command(branch.id, origin),
            None if origin.warm_start else origin.checkpoint,
        )
    return manifest


def _last_good(branch: Branch) -> tuple[Manifest | None, Any]:
    """The newest checkpoint of the branch that is whole; damaged ones are put aside, and named."""
    for name in reversed(branch.store.names()):
        try:
            return branch.store.load(name)
        except CheckpointUnusable as error:
            branch.store.set_aside(name)
            message = f"{error}; going on from the checkpoint before it"
            logger.warning(message)
            branch.recorder.record(Notice(at=utc_now(), message=message))
    return None, None


def _fork_command(run: str, origin: Origin) -> Command:
    return Command(
        run=run,
        seq=FORK_SEQ,
        actor=origin.actor,
        accepted_at=utc_now(),
        action=Fork(changes=origin.changes, warm_start=origin.warm_start),
        reason=f"{'revert' if origin.revert else 'fork'} of {origin.run} at {origin.checkpoint}",
    )


def adopt(session: "Engine", branch: Branch, loaded: Manifest | None = None) -> None:
    """Make a branch the session's own: take its place, plan its redo, open it for commands.

    Args:
        session: whose `branch` this is from now on.
        branch: the branch.
        loaded: what is loaded already, by a revert.
    """
    manifest = loaded or load_place(session, branch)
    own = manifest is not None and manifest.checkpoint.run == branch.id
    position = manifest.journal_position if manifest is not None and own else 0
    session.position = position
    session.edits = manifest.edits if manifest is not None else 0
    if manifest is not None:
        every = manifest.parameters["train.checkpoint_every"]
        assert every is None or isinstance(every, str)
        session.agenda.checkpoint_every = every
    if session.best is not None:
        remembered = manifest.memory.get("best") if manifest is not None and own else None
        session.best.value = remembered if isinstance(remembered, float) else None
        session.best.improved = False
    session.checkpointer = Checkpointer(
        branch, session.environment.attempt, session.keep, session.best, session.guard
    )
    session.status, pause_after = _status(branch, position)
    session.agenda.begin(branch.journal.waiting(), pause_after)
    session.boundary.plan_redo(branch.journal.to_redo(position), branch.logged_up_to)
    branch.tracker.start()
    branch.recorder.record(
        Started(
            at=utc_now(),
            attempt=session.environment.attempt,
            run=branch.run_file,
            next_step=session.current_step,
            total_steps=session.total_steps,
            parameters=session.parameters.declarations(),
            values=dict(session.parameters.values()),
        )
    )
    if session.dataset is not None:
        branch.recorder.record(DatasetUsed(at=utc_now(), dataset=session.dataset))
    if session.status is RunStatus.PAUSED:
        session.change_status(RunStatus.PAUSED, "it was paused when it was interrupted")
    settle(branch, position)
    session.boundary.report_unreported()
    session.checkpointer.report_unreported()
    if session.link is not None:
        session.link.follow(branch.paths, branch.heard_up_to, heard_out=session.superseded)
    if manifest is None:
        session.take_checkpoint(CheckpointReason.INITIAL)
        assert session.last_step_of_boundary == BEFORE_FIRST_STEP


def _status(branch: Branch, position: int) -> tuple[RunStatus, int | None]:
    """What was last said before the checkpoint, and after which step the run is to pause."""
    back = False
    """Whether it comes back from a suspension, which also ends a pause."""
    for intent in reversed(branch.journal.intents[:position]):
        receipt = branch.journal.outcomes.get(intent.position)
        if receipt is not None and receipt.state is not CommandState.APPLIED:
            continue
        match intent.command.action:
            case Stop():
                return RunStatus.STOPPED, None
            case Suspend():
                back = back or receipt is not None  # without one, it was killed on its way
            case Pause():
                return RunStatus.RUNNING if back else RunStatus.PAUSED, None
            case Resume(steps=steps):
                until = None if steps is None else intent.step + steps
                return RunStatus.RUNNING, until
    return RunStatus.RUNNING, None


@dataclass(frozen=True)
class Return:
    """Where a revert goes back to, and as what."""

    store: CheckpointStore
    checkpoint: str
    child: str
    changes: Changes
    actor: str


@contextmanager
def as_it_was(session: "Engine", back: Return) -> Iterator[None]:
    """Have the live objects in the state that a revert goes back to, for a look at them.

    What a change may be depends on where the run stands. Everything is as it is now afterwards.

    Raises:
        CheckpointUnusable: the checkpoint is damaged, or does not fit the program.
    """
    _, state = back.store.load(back.checkpoint)
    restore = session.tracked.backup(session.current_step)
    try:
        session.tracked.load(state)
        yield
    finally:
        restore()


def prepare_child(session: "Engine", back: Return) -> tuple[Branch, Manifest]:
    """Open a revert's child and load its place into the live objects.

    Raises:
        Exception: it cannot be done; the live objects are as they were, the child is let go.
    """
    parent = session.branch
    wanted = parent.run_file.model_copy(
        update={
            "id": back.child,
            "supersedes": parent.id,
            "origin": Origin(
                run=back.store.paths.folder.name,
                checkpoint=back.checkpoint,
                changes=back.changes,
                actor=back.actor,
                revert=True,
            ),
        }
    )
    child = Branch(
        parent.paths.home,
        wanted,
        attempt=session.environment.attempt,
        nudge=session.nudge,
        on_lost=session.lose_place,
        on_wish=session.boundary.alert,
    )
    step, restore = session.current_step, session.tracked.backup(session.current_step)
    try:
        manifest = load_place(session, child)
        assert manifest is not None
    except BaseException:
        session.current_step = step
        restore()
        child.close(tracker_seconds=0)
        raise
    return child, manifest
