"""The checkpoint that a fork begins with, as its parent's artifact in W&B."""

import os
import subprocess
import sys
from typing import Any, Final

from pydantic import ValidationError

from midcourse.contract.imported import ImportedRun
from midcourse.contract.paths import RunPaths
from midcourse.contract.wandb_source import parse_source
from midcourse.tracking.errands import NeverDone
from midcourse.tracking.home import is_held
from midcourse.tracking.keepsakes import staging_folder
from midcourse.tracking.sending import FINISH_SECONDS
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.status import read_status
from midcourse.tracking.supervisor import EXIT_ANOTHER
from midcourse.tracking.wandb_remote import Remote

MOST_STARTS: Final = 3
"""How often the parent's tracker is started to publish a checkpoint."""


class ParentCheckpoint:
    """Waits for the parent to publish a checkpoint, and sees to it where nobody else does."""

    def __init__(
        self,
        paths: RunPaths,
        settings: TrackingSettings,
        project: tuple[str, str],
        checkpoint: str,
    ) -> None:
        """Nothing is asked yet.

        Args:
            paths: of the parent.
            settings: of the tracker that asks.
            project: its entity and project; the parent's, too, where it is not known to be in
                another.
            checkpoint: the checkpoint's name.
        """
        self._paths = paths
        self._checkpoint = checkpoint
        self._status = read_status(paths)
        entity, name = _project_of(self._status.url if self._status else None, settings) or project
        self._remote = Remote(settings, entity, name, paths.folder.name)
        self._publisher: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def is_used_by(self, run: Any) -> bool:
        """Declare it as used by a run of the SDK; False where it is not there yet.

        Raises:
            NeverDone: it is neither there nor on disk, from where it could be published.
        """
        imported = self._imported_as()
        is_lost = self._is_lost()  # first: what is being published may leave the disk meanwhile
        if imported is None and not self._remote.has_checkpoint(self._checkpoint):
            if is_lost:
                raise NeverDone("retention removed it before it was published")
            self._have_it_published()
            return False
        path = imported or self._remote.checkpoint_path(self._checkpoint)
        run.use_artifact(path, type="model")
        return True

    def _imported_as(self) -> str | None:
        """The artifact that it was fetched as, where the parent was trained elsewhere."""
        try:
            imported = ImportedRun.model_validate_json(self._paths.imported.read_bytes())
        except (OSError, ValidationError):
            return None
        return imported.artifacts.get(self._checkpoint)

    def _was_trained_here(self) -> bool:
        return self._paths.run_log.exists()

    def _is_lost(self) -> bool:
        on_disk = self._paths.checkpoint(self._checkpoint).exists()
        staged = staging_folder(self._paths)
        names = (self._checkpoint, f"{self._checkpoint}-*")  # the latter where it is staged again
        being_published = any(any(staged.glob(name)) for name in names)
        return self._was_trained_here() and not on_disk and not being_published

    def _have_it_published(self) -> None:
        """Start the parent's tracker once more: its own may have ended before the fork was made.

        While that one is at work, another one ends at once, and it publishes what is pinned.

        Raises:
            NeverDone: the parent is not to be tracked, or its tracker cannot do it.
        """
        if self._status is not None and self._status.mode == TrackingMode.DISABLED:
            raise NeverDone("that run is not tracked")
        if not self._was_trained_here() or is_held(self._paths.lock):
            return
        if self._publisher is not None:
            code = self._publisher.poll()
            if code is None:
                return
            if code == EXIT_ANOTHER:
                self._starts -= 1
        if self._starts == MOST_STARTS:
            raise NeverDone(f"its tracker did not publish it; see {self._paths.tracking_log}")
        self._starts += 1
        with self._paths.tracking_log.open("ab") as log:
            self._publisher = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "midcourse.tracking",
                    str(self._paths.folder),
                    "--again",
                    f"--finish-seconds={FINISH_SECONDS:g}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "WANDB_ENTITY": self._remote.entity,
                    "WANDB_PROJECT": self._remote.project,
                },
                start_new_session=True,
            )


def _project_of(page: str | None, settings: TrackingSettings) -> tuple[str, str] | None:
    """The entity and project of a run's page; None where it has none on this server."""
    try:
        source = parse_source(page or "", settings.base_url)
    except ValueError:
        return None
    return source.entity, source.project
