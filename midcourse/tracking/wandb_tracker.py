"""Shows a run in Weights & Biases; the project's `wandb-notes.md` has the reasons for its rules."""

import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import JsonValue

from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.datasets import Dataset
from midcourse.contract.errors import first_line
from midcourse.contract.journal_file import JournalHeader
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin, RunLabels, RunStatus
from midcourse.tracking import wandb_artifacts
from midcourse.tracking.alerts import Alert, AlertKind
from midcourse.tracking.aliases import Aliases
from midcourse.tracking.errands import Errands, Undone
from midcourse.tracking.missing import Expected, Missing
from midcourse.tracking.notebook import Notebook
from midcourse.tracking.parent import ParentCheckpoint
from midcourse.tracking.progress import Progress
from midcourse.tracking.settings import DATA_PREFIX, TrackingSettings
from midcourse.tracking.tracker import Row
from midcourse.tracking.wandb_compare import compare
from midcourse.tracking.wandb_remote import Remote
from midcourse.tracking.wandb_rows import STEP, WandbRows

ERRAND_SECONDS: Final = 45.0
"""How long the end of a run waits for what is asked of the server beside the rows."""
_EXIT_CODES: Final = {RunStatus.FAILED: 1, RunStatus.INTERRUPTED: 143, RunStatus.SUSPENDED: 143}
_LEVELS: Final = {AlertKind.FAILED: "ERROR", AlertKind.FINISHED: "INFO"}
_TITLE_LENGTH: Final = 63

Fork = Literal["native", "linked"]


class WandbTracker:
    """One run in W&B, online or in an offline folder."""

    def __init__(
        self,
        run: Any,
        paths: RunPaths,
        settings: TrackingSettings,
        note: Callable[[str], None],
        fork: Fork | None = None,
    ) -> None:
        """Show a run that `wandb_open` has begun.

        Args:
            run: The SDK's.
            paths: Of the run.
            settings: From the environment.
            note: Told what went otherwise than asked.
            fork: How W&B has the run, where it is a fork that is online.
        """
        self._run = run
        self._paths = paths
        self._settings = settings
        self._note = note
        self._rows = WandbRows(run, paths.folder, settings, note)
        self._about: dict[str, JsonValue] | None = None
        self._summary: dict[str, JsonValue] = {}
        self._notebook = Notebook(paths.tracking / "told.json")
        if not run.offline and not run.resumed:  # new there, or deleted since: it shows no labels
            self._notebook.remember(RunLabels())
        self._errands = Errands()
        self._aliases = Aliases()
        self._undone: list[str] = []
        self._journal_digest: str | None = None
        self._progress = Progress()
        self.fork = fork
        self.online = self.publishes_live = not run.offline
        self.url: str | None = run.url if self.online else None
        self.files = Path(run.dir).resolve().parent
        """The W&B folder of this fragment, for `wandb sync`."""
        self._data = settings.data_folder(paths.tracking.resolve())
        self.remote = self._make_remote()
        # Not `run.step`: that is 0 right after a resume.
        self.first_position: int = run.starting_step
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)

    def _make_remote(self) -> Remote | None:
        if not self.online:
            return None
        return Remote(self._settings, self._run.entity, self._run.project, self._run.id)

    # -- rows ---------------------------------------------------------------------------------

    def describe(self, about: Mapping[str, JsonValue]) -> None:
        """Replace the `midcourse` section of the config."""
        known = {**about, **({"fork": self.fork} if self.fork else {})}
        if known != self._about:
            self._about = known
            self._run.config.update({"midcourse": known}, allow_val_change=True)

    def log(self, row: Row) -> None:
        """Log one row; a medium that cannot be drawn or uploaded is noted and left out."""
        self._rows.log(row)

    def summarize(self, values: Mapping[str, JsonValue]) -> None:
        """Set summary values."""
        self._summary.update(values)
        self._run.summary.update(dict(values))

    # -- artifacts and lineage ----------------------------------------------------------------

    def published(self) -> Mapping[str, Collection[str]]:
        """The checkpoints that an earlier tracker of this run has published, with their aliases."""
        if self.remote is None:
            return {}
        try:
            found = self.remote.checkpoints()
            return {
                name: {alias for version in versions for alias in version.aliases}
                for name, versions in found.items()
            }
        except Exception as error:  # what is there already is uploaded once more
            self._note(f"the published checkpoints are not known: {first_line(error)}")
            return {}

    def checkpoint(self, record: CheckpointRecord, folder: Path, aliases: Sequence[str]) -> None:
        """Log a checkpoint as a version of the artifact `<run id>-checkpoint`."""
        self._aliases.uploaded(record.name, aliases)
        artifact = wandb_artifacts.checkpoint(record, folder, self._settings.checkpoint_days)
        self._log_artifact(f"checkpoint {record.name}", artifact, aliases)

    def name_checkpoint(self, name: str, aliases: Sequence[str]) -> None:
        """Have a version given more aliases, when the run has finished."""
        self._aliases.wanted(name, aliases)

    def retire(self, name: str) -> None:
        """Have a version deleted that retention has deleted on disk."""
        remote = self._make_remote()  # of its own, as errands have their own thread
        if remote is not None:
            self._errands.add(f"checkpoint {name} not deleted", lambda: bool(_do(remote, name)))

    def use_checkpoint(self, origin: Origin) -> None:
        """Declare that the run begins with its parent's checkpoint, once that is there."""
        if self.online:
            parent = ParentCheckpoint(
                RunPaths(self._paths.home, origin.run),
                self._settings,
                (self._run.entity, self._run.project),
                origin.checkpoint,
            )
            what = f"checkpoint {origin.checkpoint} of {origin.run} not linked as used"
            self._errands.add(what, lambda: parent.is_used_by(self._run))

    def use_dataset(self, dataset: Dataset) -> None:
        """Declare what the run trains on; its version is made where it is not there yet."""
        if self.online:
            version = wandb_artifacts.dataset(dataset)
            aliases = [f"sha256-{dataset.digest[:12]}"]
            self._errands.add(
                f"data set {dataset.name} not linked as used",
                lambda: self._run.use_artifact(version, aliases=aliases) is not None,
            )

    def journal(self, header: JournalHeader, file: Path) -> None:
        """Log the journal as a version of the artifact `journal-<run id>`."""
        artifact = wandb_artifacts.journal(header, file)
        self._journal_digest = artifact.digest
        self._log_artifact("the journal", artifact, ())

    def _log_artifact(self, what: str, artifact: Any, aliases: Sequence[str]) -> None:
        try:
            self._run.log_artifact(artifact, aliases=list(aliases))
        except Exception as error:  # an outage: the run's curves are still to be finished
            self._note(f"{what} not uploaded: {first_line(error)}")

    # -- what people are told -----------------------------------------------------------------

    def alert(self, alert: Alert) -> None:
        """Have W&B tell people, once, and not of what is long past."""
        if self.online and alert.kind in self._settings.alerts and self._notebook.is_news(alert):
            level = _LEVELS.get(alert.kind, "WARN")
            self._run.alert(alert.title[:_TITLE_LENGTH], alert.text, level)
            self._notebook.told(alert)

    def label(self, labels: RunLabels) -> None:
        """Show the run's name, tags and notes as they are by now."""
        before, remote = self._notebook.labels, self._make_remote()
        if remote is None or labels == before:
            return

        def show() -> bool:
            remote.set_labels(labels, before)
            self._notebook.remember(labels)
            return True

        self._errands.add("name, tags and notes not shown", show)

    # -- the end ------------------------------------------------------------------------------

    def caught_up(self) -> None:
        """Remove what earlier offline trackers of this run left on disk.

        Two fragments would be synced one after the other, into one muddled history. Online, what
        they left is kept until the server is known to have it.
        """
        if not self.online:
            self._remove_fragments()

    def is_stuck(self, position: int | None) -> bool:
        """Whether the server answers, and has got no row for a while though there are some."""
        return self.remote is not None and self._progress.is_stuck(
            position, self.remote.last_position
        )

    def leave(self) -> None:
        """Have the SDK end; the run goes on with another tracker."""
        self._errands.finish(0.0)
        self._run.finish(exit_code=0)

    def finish(self, status: RunStatus) -> None:
        """Send what is left."""
        self._note_undone(self._errands.finish(ERRAND_SECONDS if self.online else 0.0))
        self._run.finish(exit_code=_EXIT_CODES.get(status, 0))
        if (remote := self._make_remote()) is not None:
            self._note_undone(self._aliases.give(remote, ERRAND_SECONDS))

    def _note_undone(self, errands: Iterable[Undone]) -> None:
        for undone in errands:
            self._note(str(undone))
            if not undone.never:
                self._undone.append(undone.what)

    def missing(self, expected: Expected) -> Missing:
        """Compare with the server what it should have; upload files again that it has not."""
        if self.remote is None:
            return Missing(rows=expected.rows, offline=True)
        found = compare(
            self.remote,
            expected,
            config={"midcourse": self._about or {}},
            summary=self._summary,
            fragments=self._fragments(),
            journal=self._journal_digest,
        )
        found = replace(found, errands=self._undone)
        if not found:
            self._remove_fragments()
            shutil.rmtree(self._data, ignore_errors=True)
        return found

    def _fragments(self) -> list[Path]:
        """The W&B folders of this run, of this tracker and those before it."""
        folder = self.files.parent
        return [*folder.glob("run-*"), *folder.glob("offline-run-*")]

    def _remove_fragments(self) -> None:
        if self.remote is not None:  # the public API makes a folder for each run that it looks at
            shutil.rmtree(self._paths.tracking / self.remote.entity, ignore_errors=True)
        stagings = self._data.parent.glob(f"{DATA_PREFIX}*")
        for folder in (*self._fragments(), *stagings):
            if folder not in (self.files, self._data):
                shutil.rmtree(folder, ignore_errors=True)


def _do(remote: Remote, name: str) -> bool:
    remote.retire(name)
    return True
