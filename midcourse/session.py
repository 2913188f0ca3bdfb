"""The session: what a training loop talks to."""

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch
from pydantic import ValidationError

from midcourse.catalogue.registry import Registry
from midcourse.catalogue.schedulers import Schedules
from midcourse.contract.base import Scalar
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.datasets import Dataset
from midcourse.contract.errors import InvalidInput, MidcourseError, faults_of
from midcourse.contract.interval import Interval
from midcourse.engine import Engine
from midcourse.feed import Feed
from midcourse.live.attribute import Attribute
from midcourse.live.batch_size import BatchSize
from midcourse.live.value import LiveValue, declare
from midcourse.restore import adopt
from midcourse.sources import drops_last, make_source, shuffles
from midcourse.statistics import Watch


class Session(Engine):
    """One run in this process. Made by `midcourse.start`; used on one thread, as a context."""

    # -- what the run is ----------------------------------------------------------------------

    @property
    def experiment(self) -> str:
        """What the run belongs to."""
        return self.branch.run_file.experiment

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the run was started with."""
        return dict(self.branch.run_file.config)

    # -- setting up ---------------------------------------------------------------------------

    def track(
        self, *, choices: Mapping[str, Registry[Any] | Schedules] | None = None, **objects: Any
    ) -> None:
        """Have objects kept in checkpoints and, where known, steered.

        Args:
            choices: by the name of an object what it may be swapped for; by default torch's own.
            **objects: anything with `state_dict()` and `load_state_dict()`. The names `model`,
                `optimizer`, `scheduler` and `loss` bring built-in live parameters.

        Raises:
            InvalidInput: a name is taken, or an object has no state.
        """
        self._refuse_after_begin("track")
        self.tracked.add(objects, choices)

    def live(
        self,
        name: str,
        default: Scalar | None,
        *,
        ge: float | None = None,
        gt: float | None = None,
        le: float | None = None,
        lt: float | None = None,
        choices: list[str] | None = None,
        unit: str = "",
        description: str = "",
        takes_effect: str = "the next step",
        check: Callable[[Any], None] | None = None,
    ) -> LiveValue:
        """Declare a live value of your own; read its `.value` wherever you use it.

        Args:
            name: dotted words, such as `mixup` or `data.noise`. The name of a built-in live
                parameter, such as `train.grad_clip`, brings its whole declaration along.
            default: the value to begin with; its type is the parameter's.
            ge: at least.
            gt: above.
            le: at most.
            lt: below.
            choices: for a string, the only values allowed.
            unit: for people.
            description: for people.
            takes_effect: when a change does, for people.
            check: raises ValueError, in one sentence, for what type and bounds let through.

        Raises:
            InvalidInput: the name is taken, or the default breaks the bounds.
        """
        self._refuse_after_begin("live")
        declaration = BUILT_IN.get(name) or declare(
            name,
            default,
            bounds={"ge": ge, "gt": gt, "le": le, "lt": lt},
            choices=choices,
            unit=unit,
            description=description,
            takes_effect=takes_effect,
        )
        value = LiveValue(default)
        self.parameters.add(f"live:{name}", Attribute(declaration, value, "value", check))
        return value

    def watch(self, every: str | Interval = "1 step", *, updates: bool = True) -> None:
        """Log the norms of each parameter's gradient, weights and update from now on.

        They are taken inside the optimizer's step, all parameters at once, and never waited for.
        The metrics are `gradients/<parameter>`, `weights/<parameter>` and `updates/<parameter>`.

        Args:
            every: how often.
            updates: whether the updates, too, which takes a copy of the weights.

        Raises:
            MidcourseError: no model is tracked.
            ValueError: `every` is no interval.
        """
        model = self.tracked.model
        if model is None:
            raise MidcourseError("watch() comes after track(model=…): it watches that model")
        interval = Interval.parse(every) if isinstance(every, str) else every
        self._watches.append(
            Watch(
                model,
                lambda names, row: self._logbook.log_row(self.current_step, names, row),
                lambda: self.due(interval),
                updates=updates,
            )
        )

    def use_dataset(
        self,
        name: str,
        *,
        digest: str,
        samples: int,
        size: int | None = None,
        labels: Mapping[str, int] | None = None,
    ) -> None:
        """Say which data the run trains on; trackers link runs to it.

        Args:
            name: what people call it.
            digest: sha256 over samples and labels, in hexadecimal; equal digests mean equal data.
            samples: how many there are, in all parts.
            size: of all of them, in bytes.
            labels: how many training samples each class has.

        Raises:
            InvalidInput: one of these is not what it should be.
            MidcourseError: the run has begun.
        """
        self._refuse_after_begin("use_dataset")
        try:
            self.dataset = Dataset(
                name=name, digest=digest, samples=samples, bytes=size, labels=dict(labels or {})
            )
        except ValidationError as error:
            raise InvalidInput(faults_of(error)) from None

    def begin(self) -> int:
        """Restore what is to be restored and open for commands; `batches` does it for you.

        Returns:
            The step to take first: 0, or later after a crash or in a fork.
        """
        if not self._begun:
            self._begun = True
            row = BUILT_IN["train.checkpoint_every"]
            part = Attribute(row, self.agenda, "checkpoint_every", in_state=False)
            self.parameters.add("checkpoint_every", part)
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
        smallest_last: int = 1,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        device: torch.device | str | None = None,
    ) -> Iterator[Any]:
        """Iterate over batches, epoch after epoch, from where the run stands.

        Args:
            data: tensors of equal length (on any device), a map-style dataset, or a DataLoader.
            batch_size: the first value of the live parameter `data.batch_size`, the samples of a
                step; a DataLoader brings its own.
            epochs: the first value of the live parameter `train.epochs`; 1 if not given.
            shuffle: a fresh order each epoch, a pure function of (seed, epoch); True unless a
                DataLoader says otherwise.
            drop_last: leave out an incomplete last batch.
            smallest_last: leave out an incomplete last batch of fewer samples; 2 where a layer
                such as batch norm cannot train on a single one.
            num_workers: processes that read a dataset. One that says `draws_nothing = True` gives
                samples that are always the same: its workers live on from epoch to epoch, and
                `__getitems__`, where it has that, reads many samples at once.
            collate_fn: makes a batch of a dataset's samples.
            device: where the batches go, each while the one before it is worked on; for a GPU a
                dataset's batches are made in pinned memory. None leaves them where they are.

        Raises:
            InvalidInput: the data cannot be resumed exactly.
            CheckpointUnusable: the checkpoint to go on from is damaged or does not fit.
        """
        self._refuse_after_begin("batches")
        target = None if device is None else torch.device(device)
        source = make_source(
            data,
            seed=self.seed,
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=target is not None and target.type == "cuda",
        )
        self._feed = Feed(
            source,
            self.tracked.cursor,
            seed=self.seed,
            shuffle=shuffles(data, shuffle),
            drop_last=drops_last(data, drop_last),
            smallest_last=smallest_last,
            device=target,
        )
        self._limit.epochs = 1 if epochs is None else epochs
        row = BUILT_IN["train.epochs"]
        self.parameters.add("epochs", Attribute(row, self._limit, "epochs", self._check_epochs))
        self.parameters.add("data", BatchSize(self._feed, self.parameters))
        self.begin()
        for batch in self._feed.walk(lambda: self._limit.epochs, lambda: self.moves):
            if self.ended:
                return
            self._batch_in_hand = (self.current_step, self.moves)
            if self._feed.is_epoch_end:
                self.agenda.look_again()  # the boundary looks whether something is due
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
        logged = {**(values or {}), **named} if named or values is None else values
        self._logbook.log(step, logged)
        if self.guard is not None and self.guard.watch(step, logged):
            self.agenda.look_again()
        if self.best is not None and self.best.improved:
            self.agenda.look_again()

    def step(self) -> None:
        """The step boundary: call it when the optimizer's step is complete. Commands act here.

        Raises:
            Interrupted: the process was asked to end; a checkpoint has been written.
            PlaceLost: the control API gave the run to another process.
        """
        if self.current_step >= self.agenda.next_look:
            self._look()
        self.current_step += 1
        if self.boundary.alerted:
            self._act()

    # -- the end ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self._closed = True
            for watch in self._watches:
                watch.close()
            self.close(error)
