"""The checkpoint that a fork begins with, as its parent's artifact in W&B."""

import subprocess
import sys
from typing import Any

from pydantic import ValidationError

from midcourse.contract.imported import ImportedRun
from midcourse.contract.paths import RunPaths
from midcourse.tracking.errands import NeverDone
from midcourse.tracking.keepsakes import staging_folder
from midcourse.tracking.wandb_remote import Remote


class ParentCheckpoint:
    """Waits for the parent to publish a checkpoint, and sees to it where nobody else does."""

    def __init__(self, paths: RunPaths, remote: Remote, checkpoint: str) -> None:
        """Nothing is asked yet.

        Args:
            paths: of the parent.
            remote: the parent at the server.
            checkpoint: the checkpoint's name.
        """
        self._paths = paths
        self._remote = remote
        self._checkpoint = checkpoint
        self._publisher: subprocess.Popen[bytes] | None = None

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
        """
        if self._publisher is not None and self._publisher.poll() is None:
            return
        if not self._was_trained_here():
            return
        with self._paths.tracking_log.open("ab") as log:
            self._publisher = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "midcourse.tracking",
                    str(self._paths.folder),
                    "--again",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
