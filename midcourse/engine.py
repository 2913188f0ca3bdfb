"""The engine of a session: its state, and what a step boundary may do to it.

`Session` is the face that a training loop sees; handlers, restore and policies work on this.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from midcourse.agenda import Agenda
from midcourse.boundary import Boundary
from midcourse.branch import Branch
from midcourse.checkpointer import BestSoFar, Checkpointer
from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, Manifest
from midcourse.contract.datasets import Dataset
from midcourse.contract.environment import TrainerEnvironment
from midcourse.contract.errors import MidcourseError
from midcourse.contract.interval import Interval
from midcourse.contract.link import Heartbeat
from midcourse.contract.names import BEFORE_FIRST_STEP
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import Notice, StatusChanged
from midcourse.contract.runs import ENDED, RunFile, RunStatus, TrackingStatus
from midcourse.errors import Interrupted, PlaceLost, Suspended
from midcourse.feed import Feed
from midcourse.link import Link
from midcourse.live.part import Values
from midcourse.logbook import Logbook
from midcourse.own_commands import OwnCommands, Source
from midcourse.policies.guard import Guard
from midcourse.progress import Rate
from midcourse.restore import Return, adopt, prepare_child
from midcourse.signals import SignalWatch
from midcourse.statistics import Watch
from midcourse.succession import successor_of
from midcourse.tracked import Tracked
from midcourse.tracking.status import read_status

LINK_SECONDS = 10.0
"""How long the end of a run waits for the control API to take the rest of the log."""
TRACKER_SECONDS = 60.0
"""How long it waits for W&B; what is missing then is sent later."""


class _EpochLimit:
    """Holds `train.epochs`."""

    epochs: int = 1


class Engine:
    """One run in this process: what it is, where it stands, what steers and records it."""

    def __init__(
        self,
        wanted: RunFile,
        environment: TrainerEnvironment,
        *,
        checkpoint_every: Interval | None,
        keep: int,
        best: BestSoFar | None,
        source: Source | None = None,
    ) -> None:
        self.tracked = Tracked()
        self.tracked.source = source
        self.guard = source.bind(self) if isinstance(source, Guard) else None
        """The run's policies."""
        self.parameters = self.tracked.parameters
        self.agenda = Agenda(checkpoint_every, best)
        own = None
        if source is not None:
            own = OwnCommands(lambda: self.branch.journal, source)
            self.agenda.upcoming = own.next_step
        self.boundary = Boundary(self, own)
        self.best = best
        self.status = RunStatus.STARTING
        self.edits = 0
        """How many parameter changes this branch has seen."""
        self.position = 0
        """How many journal entries have acted, or acted again, in the state at hand."""
        self.current_step = 0
        """The step in progress, counted from 0 along the branch."""
        self.moves = 0
        """How often the position was set from outside: a revert does."""
        self.environment = environment
        self.keep = keep
        self.checkpointer: Checkpointer
        self.warm_start_report: Values = {}
        """What a fork with an edited model kept and made anew."""
        self._watches: list[Watch] = []
        self._logbook = Logbook(lambda: self.branch, best)
        self._limit = _EpochLimit()
        self._feed: Feed | None = None
        self._batch_in_hand: tuple[int, int] | None = None
        """The step whose batch was given out last, and how often the position had been set then."""
        self._begun = self._closed = self._place_lost = False
        self._rate = Rate()
        self._parents: list[threading.Thread] = []
        """Each lets go of a run that this one took the place of."""
        self.dataset: Dataset | None = None
        """What it trains on, where the program said so."""
        self.before_end: Callable[[], None] = lambda: None
        """Called when the run ends in order, before its last word: a replay says how it went."""
        self.lease_is_over = False
        """Whether the control API has been silent for so long that the run must wait for it."""
        self._told_of_lease: int | None = None
        self.link = self._make_link()
        if self.link is not None and environment.held is not None:
            self.boundary.hold(environment.held)
        self._wanted_id = wanted.id
        self._signals = SignalWatch(self.boundary.alert)
        self.superseded: list[RunPaths] = []
        """Runs that this one took the place of, and the control API may not have heard out."""
        try:
            self.branch = self._open_branch(wanted)
        except BaseException:
            self._signals.close()
            raise

    def _open_branch(self, wanted: RunFile) -> Branch:
        home, attempt = self.environment.home, self.environment.attempt
        wanted, self.superseded = successor_of(home, wanted, attempt)
        return Branch(
            home,
            wanted,
            attempt=attempt,
            nudge=self.nudge,
            on_lost=self.lose_place,
            on_wish=self.boundary.alert,
        )

    # -- what the run is ----------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id; a revert changes it."""
        return self.branch.id

    @property
    def seed(self) -> int:
        """The seed of all that is random in the run."""
        return self.branch.run_file.seed

    @property
    def paths(self) -> RunPaths:
        """Where the run's files are."""
        return self.branch.paths

    @property
    def tracking(self) -> TrackingStatus | None:
        """Where W&B has the run, as its tracker last said."""
        return read_status(self.paths)

    @property
    def last_step(self) -> int | None:
        """The last step completed, or None."""
        return self.current_step - 1 if self.current_step else None

    @property
    def last_step_of_boundary(self) -> int:
        """The last step completed, -1 before the first: the number of the boundary at hand."""
        return self.current_step - 1

    @property
    def epoch(self) -> int:
        """The epoch of the step in progress, counted from 0."""
        return self.tracked.cursor.epoch

    @property
    def counts_epochs(self) -> bool:
        """Whether there are epochs: `batches` counts them."""
        return self._feed is not None

    @property
    def epochs(self) -> int:
        """How many epochs the run trains in all: the live parameter `train.epochs`."""
        return self._limit.epochs

    @property
    def is_epoch_end(self) -> bool:
        """Whether the step in progress uses the last batch of its epoch."""
        return self._feed is not None and self._feed.is_epoch_end

    @property
    def total_steps(self) -> int | None:
        """How many steps the branch will have, one a batch; None before `batches`.

        Follows the batch size and the number of epochs.
        """
        if self._feed is None:
            return None
        in_hand = self._batch_in_hand == (self.current_step, self.moves)
        return self.current_step + in_hand + self._feed.steps_left(self._limit.epochs)

    @property
    def ended(self) -> bool:
        """Whether the run was told to end."""
        return self.status in ENDED

    def due(self, interval: str | Interval) -> bool:
        """Whether the step in progress completes an interval: `"100 steps"`, `"1 epoch"`."""
        if isinstance(interval, str):
            interval = Interval.parse(interval)
        return interval.due(
            step=self.current_step, epoch=self.epoch, is_epoch_end=self.is_epoch_end
        )

    def summary(self, **values: Any) -> None:
        """Final values for people, told when the run ends.

        Raises:
            TypeError: a value is neither a number, a tensor of one element, nor plain JSON.
        """
        self._logbook.sum_up(values)

    # -- checkpoints --------------------------------------------------------------------------

    def _look(self) -> None:
        """Take the checkpoint that this step completes, if any, and see to what else is due."""
        if not self._begun:
            raise MidcourseError("step() comes after begin(), which `batches` calls for you")
        at = (self.current_step, self.epoch, self.is_epoch_end)
        self.agenda.plan_look(self.current_step)
        reason = self.agenda.checkpoint_due(*at)
        if reason is not None:
            self.take_checkpoint(reason, next_step=self.current_step + 1)
        if self.agenda.something_is_due(*at):
            self.boundary.alerted = True

    def take_checkpoint_to_undo(self, name: str | None = None) -> tuple[str | None, str | None]:
        """Take the checkpoint that comes before a change.

        Args:
            name: the name that it had before a crash.

        Returns:
            Its name; or None, and why it could not be taken.
        """
        try:
            promise = self.take_checkpoint(CheckpointReason.BEFORE_CHANGE, name=name)
            error = promise.exception() if promise.done() else None
        except Exception as problem:  # a command is never what ends a training
            error = problem
        if error is not None:
            return None, str(error) or type(error).__name__
        return self.checkpointer.name_of(self.last_step_of_boundary, self.edits), None

    def take_checkpoint(
        self, reason: CheckpointReason, next_step: int | None = None, name: str | None = None
    ) -> "Future[Manifest]":
        """Capture the state now; the promise is kept once it is on the disk."""
        following = self.current_step if next_step is None else next_step
        step = following - 1
        cursor = self.tracked.cursor
        return self.checkpointer.take(
            reason,
            step,
            self.edits,
            self.position,
            lambda: self.tracked.state(following),
            cursor={"epoch": cursor.epoch, "samples": cursor.samples},
            parameters=self.parameters.values(),
            metrics=self._logbook.evaluated_at(step),
            name=name,
        )

    def pin_checkpoint(self, name: str) -> None:
        """Keep a checkpoint whatever the retention says."""
        self.checkpointer.pin(name)

    # -- what the boundary does to the session ------------------------------------------------

    @property
    def wants_out(self) -> bool:
        """Whether the loop must be left: at the end, to make room, or with the place lost."""
        over = self.ended or self.status is RunStatus.SUSPENDED
        return over or self._place_lost or self._signals.received is not None

    def _act(self) -> None:
        """Do what waits at this boundary; raise if the process must go."""
        self.boundary.act()
        if self._place_lost:
            self._signals.relent()
            raise self._place_lost_error()
        if self.status is RunStatus.SUSPENDED:
            raise Suspended(0)
        signal = self._signals.received
        if signal is not None and not self.ended:
            self.take_checkpoint(CheckpointReason.INTERRUPTED)
            raise Interrupted(128 + signal)

    def change_status(self, status: RunStatus, reason: str | None = None) -> None:
        """Be in another state from now on, and say so."""
        self.status = status
        self.branch.recorder.record(self.status_record(reason))

    def status_record(self, reason: str | None = None) -> StatusChanged:
        """The state that the run is in, to be logged."""
        return StatusChanged(
            at=utc_now(),
            status=self.status,
            step=self.last_step,
            reason=reason,
            summary=self._logbook.summary if self.ended else {},
        )

    def notice(self, message: str) -> Notice:
        """A word to people, to be logged."""
        return Notice(at=utc_now(), message=message)

    def end(self, status: RunStatus) -> None:
        """The loop is to be left; the last word on the run is said when it has been."""
        self.status = status

    def revert_to(self, back: Return) -> tuple[Manifest, Callable[[], None]]:
        """Load a checkpoint into the live objects, as a child run.

        Returns:
            The manifest of the checkpoint, and what puts the child in the parent's place.

        Raises:
            Exception: it cannot be done; everything is as it was.
        """
        parent = self.branch
        child, manifest = prepare_child(self, back)

        def take_over() -> None:
            self.branch = child
            self.status = RunStatus.RUNNING
            adopt(self, child, loaded=manifest)
            # The child does not wait for what W&B has still to take of its parent.
            closing = threading.Thread(
                target=parent.close, args=(TRACKER_SECONDS,), name="midcourse-parent"
            )
            closing.start()
            self._parents.append(closing)

        return manifest, take_over

    # -- the control API ----------------------------------------------------------------------

    def _make_link(self) -> Link | None:
        env = self.environment
        if env.api_url is None or env.run_token is None:
            return None
        return Link(
            env.api_url,
            env.run_token,
            env.attempt,
            heartbeat=self._heartbeat,
            on_command=lambda command: self.boundary.mailbox.post(command),
            on_lost=self.lose_place,
            on_lease=self._change_lease,
        )

    def _change_lease(self, over: bool) -> None:
        self.lease_is_over = over
        self.boundary.alert()

    def keep_place(self) -> None:
        """The control API has been silent for too long: another may be given this run."""
        self.take_checkpoint(CheckpointReason.INTERRUPTED)
        if self._told_of_lease != self.current_step:
            self._told_of_lease = self.current_step
            words = "the control API has not answered for longer than the lease; waiting for it"
            self.branch.recorder.record(self.notice(words))

    def nudge(self) -> None:
        """Tell the link that the run log has grown."""
        if self.link is not None:
            self.link.nudge()

    def lose_place(self) -> None:
        """Another process has the run: leave the loop, and write nothing more. Any thread."""
        if not self._place_lost:
            self._place_lost = True
            self.boundary.alert()
            self._signals.insist(self._place_lost_error())

    def _place_lost_error(self) -> PlaceLost:
        return PlaceLost(f"run {self._wanted_id} was given to another process; this one ends")

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            status=self.status,
            step=self.last_step,
            epoch=self.epoch,
            total_steps=self.total_steps,
            steps_per_second=self._rate.at(self.current_step),
            tracking=self.tracking,
        )

    # -- the end ------------------------------------------------------------------------------

    def close(self, error: BaseException | None) -> None:
        """Say the last word on the run and let go of everything.

        Args:
            error: what the loop was left by, if by an error.
        """
        self._signals.relent()
        try:
            if not self._place_lost:
                self._last_word(error)
        finally:
            self._signals.close()
            # Who lost the place leaves the run, and its tracker, to the successor at once. Who was
            # asked to make room, or to end, does so: the tracker sends what is left by itself.
            was_asked = self.status in (RunStatus.SUSPENDED, RunStatus.INTERRUPTED)
            leaves_at_once = self._place_lost or was_asked
            self.branch.close(0 if leaves_at_once else TRACKER_SECONDS)
            for closing in self._parents:
                closing.join()
            if self.link is not None:
                self.link.finish(LINK_SECONDS)

    def _last_word(self, error: BaseException | None) -> None:
        self.branch.writer.drain()  # a checkpoint's receipt comes before the run's end
        left_in_order = isinstance(error, SystemExit) and error.code in (None, 0)
        if self.status is RunStatus.SUSPENDED:
            return  # it was said with the receipt, however the program left its loop
        if error is None or left_in_order:
            status = self.status if self.ended else RunStatus.FINISHED
            if self._begun and self.current_step > BEFORE_FIRST_STEP + 1:
                self.take_checkpoint(CheckpointReason.END).exception()
            self.before_end()
            self.boundary.withdraw_waiting(
                CommandState.EXPIRED,
                f"the run ended before it could act: it is {status}",
                self.last_step_of_boundary,
            )
            self.change_status(status)
        elif isinstance(error, Interrupted | KeyboardInterrupt):
            self.change_status(RunStatus.INTERRUPTED, f"asked to end ({type(error).__name__})")
        else:
            self.change_status(RunStatus.FAILED, f"{type(error).__name__}: {error}")
