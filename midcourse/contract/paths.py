"""Every path of a run, in one class."""

from pathlib import Path

from midcourse.contract.names import checkpoint_step

DEFAULT_HOME = Path(".midcourse")


class RunPaths:
    """The folder of one run below the home: `<home>/runs/<run id>/…`."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.home = home
        self.folder = home / "runs" / run_id
        self.run_file = self.folder / "run.json"
        self.imported = self.folder / "imported.json"
        """Says that the run was trained elsewhere, and where its checkpoints here came from."""
        self.fetching = home / "runs" / ".fetching" / run_id
        """Where a checkpoint of it is put together that is being fetched; held by who does that."""
        self.params_file = self.folder / "params.json"
        """The trainer's configuration, as the launcher handed it over."""
        self.lock = self.folder / "lock"
        """Held by the process that trains this run and by its checkpoint writer."""
        self.fence = self.folder / "fence"
        """A folder with a file that is named by the attempt that has this run."""
        self.journal = self.folder / "journal.jsonl"
        self.replay = self.folder / "replay.jsonl"
        """The journal that a replay is fed, copied when it begins."""
        self.run_log = self.folder / "runlog.jsonl"
        self.media = self.folder / "media"
        self.checkpoints = self.folder / "checkpoints"
        self.tracking = self.folder / "tracking"
        self.tracking_status = self.tracking / "status.json"
        self.tracking_log = self.tracking / "tracker.log"
        self.stop_wish = self.tracking / "stop"
        """There once somebody has pressed Stop where the run is shown."""
        self.labels = self.folder / "labels.json"
        self.console_log = self.folder / "console.log"
        """Standard output and error of the trainer, when a launcher started it."""

    def checkpoint(self, name: str) -> Path:
        """The folder of one checkpoint.

        Raises:
            ValueError: the name is not a checkpoint's.
        """
        checkpoint_step(name)
        return self.checkpoints / name

    def pins(self, name: str) -> Path:
        """The folder whose files say who keeps a checkpoint: a fork's run id, or `command`."""
        return self.checkpoint(name) / "pins"
