"""Shows a run in Weights & Biases. `wandb-notes.md` of the project has the reasons for the rules.

One row is one `log` with an explicit step, so that a log read twice leaves one clean history.
"""

import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import wandb
from pydantic import JsonValue

from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.journal_file import (
    ARTIFACT_FILE,
    ARTIFACT_PREFIX,
    ARTIFACT_TYPE,
    JournalHeader,
)
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Started
from midcourse.contract.runs import RunStatus
from midcourse.tracking.settings import DATA_PREFIX, TrackingMode, TrackingSettings
from midcourse.tracking.tracker import Row
from midcourse.tracking.wandb_media import draw

STEP: Final = "step"
"""The x-axis of every chart."""
_EXIT_CODES: Final = {RunStatus.FAILED: 1, RunStatus.INTERRUPTED: 143, RunStatus.SUSPENDED: 143}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trainer:
    """The training process, as W&B shows it."""

    pid: int
    program: str


class WandbTracker:
    """One run in W&B, online or in an offline folder."""

    def __init__(self, run: Any, folder: Path, note: Callable[[str], None]) -> None:
        self._run = run
        self._folder = folder
        self._note = note
        self._about: dict[str, JsonValue] | None = None
        self.online = not run.offline
        self.url: str | None = run.url if self.online else None
        self.files = Path(run.dir).resolve().parent
        """The W&B folder of this fragment, for `wandb sync`."""
        # Not `run.step`: that is 0 right after a resume.
        self.first_position: int = run.starting_step
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)

    def describe(self, about: Mapping[str, JsonValue]) -> None:
        """Replace the `midcourse` section of the config."""
        if about != self._about:
            self._about = dict(about)
            self._run.config.update({"midcourse": self._about}, allow_val_change=True)

    def log(self, row: Row) -> None:
        """Log one row; a medium that cannot be drawn or uploaded is noted and left out."""
        values: dict[str, Any] = {**row.values, STEP: row.step, "_timestamp": row.time}
        drawn = self._drawn(row)
        try:
            self._run.log(values | drawn, step=row.position, commit=True)
        except Exception as error:
            if not drawn:
                raise
            self._note(f"{', '.join(drawn)} of step {row.step} not shown: {error}")
            self._run.log(values, step=row.position, commit=True)

    def summarize(self, values: Mapping[str, JsonValue]) -> None:
        """Set summary values."""
        self._run.summary.update(dict(values))

    def checkpoint(self, record: CheckpointRecord, folder: Path, aliases: Sequence[str]) -> None:
        """Log a checkpoint as a version of the artifact `<run id>-checkpoint`, without a copy."""
        metadata = record.model_dump(mode="json", exclude={"bytes"})
        artifact = wandb.Artifact(f"{record.run}-checkpoint", type="model", metadata=metadata)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            artifact.add_file(
                str(file.resolve()),
                name=file.relative_to(folder).as_posix(),
                policy="immutable",
                skip_cache=True,
            )
        try:
            self._run.log_artifact(artifact, aliases=list(aliases))
        except Exception as error:  # an outage: the run's curves are still to be finished
            self._note(f"checkpoint {record.name} not uploaded: {_first_line(error)}")

    def journal(self, header: JournalHeader, file: Path) -> None:
        """Log the journal as a version of the artifact `journal-<run id>`."""
        about = header.model_dump(
            mode="json", include={"line", "status", "last_step", "state_hash"}
        )
        artifact = wandb.Artifact(
            f"{ARTIFACT_PREFIX}{header.run}", type=ARTIFACT_TYPE, metadata=about
        )
        artifact.add_file(
            str(file.resolve()), name=ARTIFACT_FILE, policy="immutable", skip_cache=True
        )
        try:
            self._run.log_artifact(artifact)
        except Exception as error:  # an outage: the run's curves are still to be finished
            self._note(f"the journal not uploaded: {_first_line(error)}")

    def caught_up(self) -> None:
        """Remove what earlier trackers of this run left on disk: this one's history is whole.

        Two fragments would be synced one after the other, into one muddled history.
        """
        fragments = [*self.files.parent.glob("run-*"), *self.files.parent.glob("offline-run-*")]
        stagings = self.files.parent.parent.glob(f"{DATA_PREFIX}*")
        for folder in (*fragments, *stagings):
            if folder not in (self.files, Path(os.environ["WANDB_DATA_DIR"])):
                shutil.rmtree(folder, ignore_errors=True)

    def finish(self, status: RunStatus) -> None:
        """Send what is left."""
        self._run.finish(exit_code=_EXIT_CODES.get(status, 0))
        if self.online:
            shutil.rmtree(os.environ["WANDB_DATA_DIR"], ignore_errors=True)

    def _drawn(self, row: Row) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for name, media in row.media.items():
            try:
                drawn[name] = draw(name, media, self._folder)
            except (OSError, ValueError) as error:
                self._note(f"{name} of step {row.step} not shown: {error}")
        return drawn


def open_wandb(
    settings: TrackingSettings,
    paths: RunPaths,
    started: Started,
    trainer: Trainer,
    note: Callable[[str], None],
) -> WandbTracker:
    """Start or resume the run in W&B; go offline where the server cannot be had.

    Args:
        settings: From the environment.
        paths: Of the run.
        started: The first record of the run's log.
        trainer: Whose CPU and memory are shown.
        note: Told what went otherwise than asked.

    Raises:
        wandb.Error: not even offline.
    """
    settings.apply(os.environ, paths.tracking.resolve())
    sys.argv = [trainer.program]  # W&B shows the program that trains, not this one
    if settings.mode is TrackingMode.ONLINE:
        try:
            run = _init(settings, started, trainer, mode="online", resume="allow")
            return WandbTracker(run, paths.folder, note)
        except Exception as error:  # the SDK raises many kinds, and none may keep us from going on
            note(f"W&B cannot be reached, so this run is tracked offline: {_first_line(error)}")
            wandb.teardown()
    run = _init(settings, started, trainer, mode="offline", resume=None)
    return WandbTracker(run, paths.folder, note)


def _init(settings: TrackingSettings, started: Started, trainer: Trainer, **how: Any) -> Any:
    run = started.run
    return wandb.init(
        id=run.id,
        project=settings.project,
        entity=settings.entity,
        name=run.name or settings.name or run.id,
        group=run.experiment,
        job_type="train",
        config=dict(run.config),
        settings=_sdk_settings(settings, trainer),
        **how,
    )


def _sdk_settings(settings: TrackingSettings, trainer: Trainer) -> Any:
    """Fresh for each init, which changes it."""
    return wandb.Settings(
        console="off",
        disable_code=True,
        init_timeout=settings.init_seconds,
        program=trainer.program,
        quiet=True,
        save_code=False,
        stop_fn=lambda: logger.warning("the Stop button of the W&B page was pressed: no effect"),
        x_stats_pid=trainer.pid,
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
