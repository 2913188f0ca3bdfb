"""The session: what a training loop talks to."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from midcourse.boundary import Boundary
from midcourse.branch import Branch
from midcourse.checkpointer import BestSoFar, Checkpointer
from midcourse.contract.base import Scalar, utc_now
from midcourse.contract.checkpoints import CheckpointReason, Manifest
from midcourse.contract.commands import Revert
from midcourse.contract.environment import TrainerEnvironment
from midcourse.contract.errors import MidcourseError
from midcourse.contract.link import Heartbeat
from midcourse.contract.names import BEFORE_FIRST_STEP
from midcourse.contract.parameters import BUILT_IN
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import StatusChanged
from midcourse.contract.runs import ENDED, RunFile, RunStatus, TrackingStatus
from midcourse.data import drops_last, make_source, shuffles
from midcourse.errors import Interrupted, PlaceLost
from midcourse.feed import Feed
from midcourse.interval import Interval
from midcourse.link import Link
from midcourse.live.attribute import Attribute
from midcourse.live.value import LiveValue, declare
from midcourse.logbook import Logbook
from midcourse.progress import Rate
from midcourse.restore import adopt, prepare_child
from midcourse.schedule import CheckpointSchedule
from midcourse.signals import SignalWatch
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


class Session:
    """One run in this process. Made by `midcourse.start`; used on one thread, as a context."""

    def __init__(
        self,
        wanted: RunFile,
        environment: TrainerEnvironment,
        *,
        checkpoint_every: Interval | None,
        keep: int,
        best: BestSoFar | None,
    ) -> None:
        self.tracked = Tracked()
        self.parameters = self.tracked.parameters
        self.boundary = Boundary(self)
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
        self.schedule = CheckpointSchedule(checkpoint_every, best)
        self._logbook = Logbook(lambda: self.branch, best)
        self._limit = _EpochLimit()
        self._feed: Feed | None = None
        self._begun = self._closed = self._place_lost = False
        self._rate = Rate()
        self._parents: list[threading.Thread] = []
        """Each lets go of a run that this one took the place of."""
        self.link = self._make_link()
        wanted, self.superseded = successor_of(environment.home, wanted)
        """Runs that this one took the place of, and the control API may not have heard out."""
        self.branch = Branch(environment.home, wanted, nudge=self.nudge)
        self._signals = SignalWatch(self.boundary.alert)

    # -- what the run is ----------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id; a revert changes it."""
        return self.branch.id

    @property
    def experiment(self) -> str:
        """What the run belongs to."""
        return self.branch.run_file.experiment

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the run was started with."""
        return dict(self.branch.run_file.config)

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
    def is_epoch_end(self) -> bool:
        """Whether the step in progress uses the last batch of its epoch."""
        return self._feed is not None and self._feed.is_epoch_end

    @property
    def total_steps(self) -> int | None:
        """How many steps the branch will have, one a batch; None before `batches`."""
        return self._feed.steps_per_epoch * self._limit.epochs if self._feed else None

    @property
    def ended(self) -> bool:
        """Whether the run was told to end."""
        return self.status in ENDED

    # -- setting up ---------------------------------------------------------------------------

    def track(self, **objects: Any) -> None:
        """Have objects kept in checkpoints and, where known, steered.

        Args:
            **objects: anything with `state_dict()` and `load_state_dict()`. The names `model`,
                `optimizer`, `scheduler` and `loss` bring built-in live parameters.

        Raises:
            InvalidInput: a name is taken, or an object has no state.
        """
        self._refuse_after_begin("track")
        self.tracked.add(objects)

    def live(
        self,
        name: str,
        default: Scalar,
        *,
        ge: float | None = None,
        gt: float | None = None,
        le: float | None = None,
        lt: float | None = None,
        choices: list[str] | None = None,
        unit: str = "",
        description: str = "",
        takes_effect: str = "the next step",
    ) -> LiveValue:
        """Declare a live value of your own; read its `.value` wherever you use it.

        Args:
            name: dotted words, such as `mixup` or `data.noise`.
            default: the value to begin with; its type is the parameter's.
            ge: at least.
            gt: above.
            le: at most.
            lt: below.
            choices: for a string, the only values allowed.
            unit: for people.
            description: for people.
            takes_effect: when a change does, for people.

        Raises:
            InvalidInput: the name is taken, or the default breaks the bounds.
        """
        self._refuse_after_begin("live")
        declaration = declare(
            name,
            default,
            bounds={"ge": ge, "gt": gt, "le": le, "lt": lt},
            choices=choices,
            unit=unit,
            description=description,
            takes_effect=takes_effect,
        )
        value = LiveValue(default)
        self.parameters.add(Attribute(declaration, value, "value"))
        return value

    def begin(self) -> int:
        """Restore what is to be restored and open for commands; `batches` does it for you.

        Returns:
            The step to take first: 0, or later after a crash or in a fork.
        """
        if not self._begun:
            self._begun = True
            adopt(self, self.branch)
            self._act()
        return self.current_step

    def batches(
        self,
        data: Any,
        *,
        batch_size: int | None = None,
        epochs: int | None = None,
        shuffle: bool | None = None,
        drop_last: bool | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> Iterator[Any]:
        """Iterate over batches, epoch after epoch, from where the run stands.

        Args:
            data: tensors of equal length (on any device), a map-style dataset, or a DataLoader.
            batch_size: samples a batch; a DataLoader brings its own.
            epochs: the first value of the live parameter `train.epochs`; 1 if not given.
            shuffle: a fresh order each epoch, a pure function of (seed, epoch); True unless a
                DataLoader says otherwise.
            drop_last: leave out an incomplete last batch.
            num_workers: processes that read a dataset.
            collate_fn: makes a batch of a dataset's samples.

        Raises:
            InvalidInput: the data cannot be resumed exactly.
            CheckpointUnusable: the checkpoint to go on from is damaged or does not fit.
        """
        self._refuse_after_begin("batches")
        source = make_source(
            data,
            seed=self.seed,
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=collate_fn,
        )
        self._feed = Feed(
            source,
            self.tracked.cursor,
            seed=self.seed,
            shuffle=shuffles(data, shuffle),
            drop_last=drops_last(data, drop_last),
        )
        self._limit.epochs = 1 if epochs is None else epochs
        row = BUILT_IN["train.epochs"]
        self.parameters.add(Attribute(row, self._limit, "epochs", self._check_epochs))
        self.begin()
        for batch in self._feed.walk(lambda: self._limit.epochs, lambda: self.moves):
            if self.ended:
                return
            if self._feed.is_epoch_end:
                self.schedule.look_again()  # the boundary looks whether something is due
            yield batch
            if self.ended:
                return

    def _check_epochs(self, value: Any) -> None:
        if value <= self.epoch:
            raise ValueError(
                f"must be at least {self.epoch + 1}: epoch {self.epoch}, counted from 0, is under "
                "way; use stop to end the run now"
            )

    def _refuse_after_begin(self, what: str) -> None:
        if self._begun:
            raise MidcourseError(f"{what}() comes before the first step, not after it")

    # -- in the loop --------------------------------------------------------------------------

    def log(
        self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **named: Any
    ) -> None:
        """Log numbers, 0-dim tensors or media of the step in progress. Never waits for a device.

        Args:
            values: by name, such as `{"train/loss": loss}`.
            step: another step than the one in progress, for what is logged after the loop.
            **named: the same, for names that are words.

        Raises:
            TypeError: a value is neither a number, a tensor of one element, nor media.
            ValueError: the step is not one that was begun.
        """
        if step is None:
            step = self.current_step
        elif not 0 <= step <= self.current_step:
            raise ValueError(f"step must be from 0 to {self.current_step}, not {step}")
        self._logbook.log(step, {**(values or {}), **named})
        if self.best is not None and self.best.improved:
            self.schedule.look_again()

    def due(self, interval: str | Interval) -> bool:
        """Whether the step in progress completes an interval: `"100 steps"`, `"1 epoch"`."""
        if isinstance(interval, str):
            interval = Interval.parse(interval)
        return interval.due(
            step=self.current_step, epoch=self.epoch, is_epoch_end=self.is_epoch_end
        )

    def step(self) -> None:
        """The step boundary: call it when the optimizer's step is complete. Commands act here.

        Raises:
            Interrupted: the process was asked to end; a checkpoint has been written.
            PlaceLost: the control API gave the run to another process.
        """
        if self.current_step >= self.schedule.next_look:
            self._check_schedule()
        self.current_step += 1
        if self.boundary.alerted:
            self._act()

    def summary(self, **values: Any) -> None:
        """Final values for people, told when the run ends.

        Raises:
            TypeError: a value is neither a number, a tensor of one element, nor plain JSON.
        """
        self._logbook.sum_up(values)

    # -- checkpoints --------------------------------------------------------------------------

    def _check_schedule(self) -> None:
        """Take the checkpoint that this step completes, if any; then look when the next may be."""
        if not self._begun:
            raise MidcourseError("step() comes after begin(), which `batches` calls for you")
        reason = self.schedule.reason(
            step=self.current_step, epoch=self.epoch, is_epoch_end=self.is_epoch_end
        )
        if reason is not None:
            self.take_checkpoint(reason, next_step=self.current_step + 1)

    def take_checkpoint(
        self, reason: CheckpointReason, next_step: int | None = None
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
        )

    def pin_checkpoint(self, name: str) -> None:
        """Keep a checkpoint whatever the retention says."""
        self.checkpointer.pin(name)

    # -- what the boundary does to the session ------------------------------------------------

    @property
    def wants_out(self) -> bool:
        """Whether the loop must be left: at the end, on a signal, or with the place lost."""
        return self.ended or self._place_lost or self._signals.received is not None

    def _act(self) -> None:
        """Do what waits at this boundary; raise if the process must go."""
        self.boundary.act()
        if self._place_lost:
            raise PlaceLost(f"run {self.id} was given to another process; this one ends")
        signal = self._signals.received
        if signal is not None and not self.ended:
            self.take_checkpoint(CheckpointReason.INTERRUPTED)
            raise Interrupted(128 + signal)

    def change_status(self, status: RunStatus, reason: str | None = None) -> None:
        """Be in another state from now on, and say so."""
        self.status = status
        self.branch.recorder.record(
            StatusChanged(
                at=utc_now(),
                status=status,
                step=self.last_step,
                reason=reason,
                summary=self._logbook.summary if status in ENDED else {},
            )
        )

    def end(self, status: RunStatus) -> None:
        """The loop is to be left; the last word on the run is said when it has been."""
        self.status = status

    def revert_to(self, action: Revert, actor: str) -> tuple[Manifest, Callable[[], None]]:
        """Load a checkpoint into the live objects, as a child run.

        Returns:
            The manifest of the checkpoint, and what puts the child in the parent's place.

        Raises:
            Exception: it cannot be done; everything is as it was.
        """
        parent = self.branch
        child, manifest = prepare_child(self, action, actor)

        def take_over() -> None:
            self.branch = child
            self.status = RunStatus.RUNNING
            self.schedule.look_again()  # the step went back, and with it what is due when
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
            on_lost=self._lose_place,
        )

    def nudge(self) -> None:
        """Tell the link that the run log has grown."""
        if self.link is not None:
            self.link.nudge()

    def _lose_place(self) -> None:
        self._place_lost = True
        self.boundary.alert()

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            attempt=self.environment.attempt,
            status=self.status,
            step=self.last_step,
            epoch=self.epoch,
            total_steps=self.total_steps,
            steps_per_second=self._rate.at(self.current_step),
            tracking=self.tracking,
        )

    # -- the end ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._place_lost:
                self._last_word(error)
        finally:
            self._signals.close()
            # Who lost the place leaves the run, and its tracker, to the successor at once.
            self.branch.close(0 if self._place_lost else TRACKER_SECONDS)
            for closing in self._parents:
                closing.join()
            if self.link is not None:
                self.link.finish(LINK_SECONDS)

    def _last_word(self, error: BaseException | None) -> None:
        self.branch.writer.drain()  # a checkpoint's receipt comes before the run's end
        left_in_order = isinstance(error, SystemExit) and error.code in (None, 0)
        if error is None or left_in_order:
            status = self.status if self.ended else RunStatus.FINISHED
            if self._begun and self.current_step > BEFORE_FIRST_STEP + 1:
                self.take_checkpoint(CheckpointReason.END).exception()
            self.change_status(status)
        elif isinstance(error, Interrupted | KeyboardInterrupt):
            self.change_status(RunStatus.INTERRUPTED, f"asked to end ({type(error).__name__})")
        else:
            self.change_status(RunStatus.FAILED, f"{type(error).__name__}: {error}")
