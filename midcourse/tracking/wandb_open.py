"""Begins a run in W&B, or takes it up: online, as a fork where the server has that, or offline."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import wandb

from midcourse.contract.errors import first_line
from midcourse.contract.names import BEFORE_FIRST_STEP, checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Started
from midcourse.contract.runs import Origin
from midcourse.tracking.labels import read_labels
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.wandb_remote import REQUEST_SECONDS, Remote, RunUnknown
from midcourse.tracking.wandb_tracker import Fork, WandbTracker

NO_FORKS: Final = "this W&B server forks no runs, so the run is linked to its parent"
PARENT_SECONDS: Final = 20.0
"""How long a native fork waits for its parent's rows to be at the server."""
COPY_SECONDS: Final = 5.0
"""How long a server may take to show a fork with its parent's rows."""


@dataclass(frozen=True)
class Trainer:
    """The training process, as W&B shows it."""

    pid: int
    program: str


@dataclass(frozen=True)
class Opening:
    """What a run is begun with."""

    settings: TrackingSettings
    paths: RunPaths
    trainer: Trainer
    note: Callable[[str], None]
    """Told what went otherwise than asked."""
    on_stop: Callable[[], None]
    """Called, on another thread, when somebody presses Stop on the run's page."""

    def open(self, started: Started, *, online: bool | None = None) -> WandbTracker:
        """Begin or take up the run; go offline where the server cannot be had.

        Args:
            started: The first record of the run's log.
            online: Whether to try the server; None: as the settings say.

        Raises:
            wandb.Error: not even offline.
        """
        self.settings.apply(os.environ, self.paths.tracking.resolve())
        sys.argv = [self.trainer.program]  # W&B shows the program that trains, not this one
        wanted = self.settings.mode is TrackingMode.ONLINE if online is None else online
        if wanted:
            try:
                run, fork = self._online(started)
                return self._tracker(run, fork)
            except Exception as error:  # the SDK raises many kinds, and none may end the tracking
                reason = first_line(error)
                self.note(f"W&B cannot be reached, so this run is tracked offline: {reason}")
                wandb.teardown()
        return self._tracker(self._init(started, mode="offline"), None)

    def _tracker(self, run: Any, fork: Fork | None) -> WandbTracker:
        return WandbTracker(run, self.paths, self.settings, self.note, fork)

    def _online(self, started: Started) -> tuple[Any, Fork | None]:
        if started.run.origin is None:
            return self._init(started, mode="online", resume="allow"), None
        entity = self.settings.entity or _own_entity(self.settings)
        fork = self._at_server(started.run.id, entity).known_fork()
        if fork is None and self._can_fork(started.run.origin, entity):
            try:
                run = self._init(started, mode="online", fork_from=_moment(started.run.origin))
                return run, self._at_server(started.run.id, entity).fork_made(started.run.origin)
            except Exception as error:
                self.note(f"{NO_FORKS}: {first_line(error)}")
                wandb.teardown()
        return self._init(started, mode="online", resume="allow"), fork or "linked"

    def _can_fork(self, origin: Origin, entity: str) -> bool:
        """Whether the parent's rows are at the server up to the fork: it copies them once."""
        step = checkpoint_step(origin.checkpoint)
        parent = self._at_server(origin.run, entity)
        return step != BEFORE_FIRST_STEP and parent.reaches(step, PARENT_SECONDS)

    def _at_server(self, run_id: str, entity: str) -> "RunAtServer":
        return RunAtServer(Remote(self.settings, entity, self.settings.project, run_id))

    def _init(self, started: Started, **how: Any) -> Any:
        run, settings = started.run, self.settings
        return wandb.init(
            id=run.id,
            project=settings.project,
            entity=settings.entity,
            # What an init says of a run that is there replaces what stands there.
            name=read_labels(self.paths).name or run.name or settings.name or run.id,
            group=run.experiment,
            job_type="train",
            config=dict(run.config),
            settings=self._sdk_settings(),
            **how,
        )

    def _sdk_settings(self) -> Any:
        """Fresh for each init, which changes it."""
        return wandb.Settings(
            console="off",
            disable_code=True,
            init_timeout=self.settings.init_seconds,
            program=self.trainer.program,
            quiet=True,
            save_code=False,
            stop_fn=self.on_stop,
            x_stats_pid=self.trainer.pid,
        )


@dataclass(frozen=True)
class RunAtServer:
    """What has to be known of a run before it is begun there, or forked."""

    remote: Remote

    def known_fork(self) -> Fork | None:
        """How it was begun, where it is there already; None where it is not."""
        try:
            config = self.remote.run().config
        except RunUnknown:
            return None
        return "native" if (config.get("midcourse") or {}).get("fork") == "native" else "linked"

    def reaches(self, step: int, seconds: float) -> bool:
        """Whether its rows up to this step are there; waits so long for them, if it is there."""
        waited, pause = 0.0, 0.5
        while (last := self._last_position()) is not None and waited < seconds:
            if last >= step:
                return True
            time.sleep(pause)
            waited, pause = waited + pause, pause * 2
        return False

    def fork_made(self, origin: Origin) -> Fork:
        """How it was begun: a server that does not know of forks makes an empty run."""
        is_copied = self.reaches(checkpoint_step(origin.checkpoint), COPY_SECONDS)
        return "native" if is_copied else "linked"

    def _last_position(self) -> int | None:
        try:
            return self.remote.last_position()
        except RunUnknown:
            return None


def _own_entity(settings: TrackingSettings) -> str:
    """Whom runs belong to where nobody says it: the key's owner."""
    api = wandb.Api(api_key=settings.api_key, timeout=REQUEST_SECONDS)
    return str(api.default_entity or "")


def _moment(origin: Origin) -> str:
    return f"{origin.run}?_step={checkpoint_step(origin.checkpoint)}"
