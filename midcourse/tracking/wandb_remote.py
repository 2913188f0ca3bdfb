"""What the W&B server has of one run: questions and small changes, by W&B's public API.

Each call may take seconds and raises what the SDK raises; callers decide what that means.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import wandb
from pydantic import JsonValue
from requests import post
from wandb.apis.public.runs import RunNotFoundError

from midcourse.contract.errors import MidcourseError
from midcourse.contract.journal_file import ARTIFACT_PREFIX, ARTIFACT_TYPE
from midcourse.contract.runs import RunLabels
from midcourse.tracking.page_fields import read_fields, rename, write_fields
from midcourse.tracking.settings import TrackingSettings

REQUEST_SECONDS: Final = 20
_PROBE_SECONDS: Final = 5.0
_VIEWER: Final = "query Viewer { viewer { id } }"


def answers(settings: TrackingSettings, url: str) -> bool:
    """Whether a server is there and takes the key. Soon over, unlike the SDK's own attempt."""
    try:
        response = post(
            f"{url}/graphql",
            json={"query": _VIEWER},
            auth=("api", settings.api_key or ""),
            timeout=_PROBE_SECONDS,
        )
        return response.ok and bool((response.json().get("data") or {}).get("viewer"))
    except (OSError, ValueError, AttributeError):
        return False


def checkpoint_artifact(run_id: str) -> str:
    """The artifact whose versions are the checkpoints of a run."""
    return f"{run_id}-checkpoint"


class RunUnknown(MidcourseError):
    """The server has no such run."""


class Remote:
    """One run at the server. Not thread-safe."""

    def __init__(self, settings: TrackingSettings, entity: str, project: str, run_id: str) -> None:
        self.entity = entity
        self.project = project
        self.run_id = run_id
        self._settings = settings

    @cached_property
    def api(self) -> Any:
        """The SDK's public API."""
        return wandb.Api(api_key=self._settings.api_key, timeout=REQUEST_SECONDS)

    @property
    def path(self) -> str:
        """`entity/project/run`."""
        return f"{self.entity}/{self.project}/{self.run_id}"

    def run(self) -> Any:
        """The run as it is there now.

        Raises:
            RunUnknown: there is none.
        """
        self.api.flush()
        try:
            return self.api.run(self.path)
        except Exception as error:
            # The SDK says the same by two errors, and one of them also says that it is offline.
            if isinstance(error, RunNotFoundError) or isinstance(
                getattr(error, "exc", None), RunNotFoundError
            ):
                raise RunUnknown(f"W&B has no run {self.path}") from None
            raise

    def last_position(self) -> int:
        """The `_step` of its newest row; -1 where it has none."""
        return int(self.run().lastHistoryStep)

    def file_names(self) -> set[str]:
        """The files that were uploaded whole."""
        return {file.name for file in self.run().files(per_page=500) if file.size}

    def upload(self, file: Path, root: Path) -> None:
        """Upload a file of the run once more, under its path below `root`."""
        self.run().upload_file(str(file), root=str(root))

    def checkpoints(self) -> dict[str, list[Any]]:
        """The versions of its checkpoint artifact by the name of each checkpoint, the newest first.

        One may have several: it was uploaded again with a journal that had grown.
        """
        collection = f"{self.entity}/{self.project}/{checkpoint_artifact(self.run_id)}"
        if not self.api.artifact_collection_exists(collection, "model"):
            return {}
        found: dict[str, list[Any]] = {}
        versions = self.api.artifacts("model", collection)
        for version in sorted(versions, key=lambda each: int(each.version[1:]), reverse=True):
            found.setdefault(str(version.metadata.get("name")), []).append(version)
        return found

    def journal_digest(self) -> str | None:
        """The digest of the newest version of its journal; None where there is none."""
        path = f"{self.entity}/{self.project}/{ARTIFACT_PREFIX}{self.run_id}:latest"
        if not self.api.artifact_exists(path, type=ARTIFACT_TYPE):
            return None
        return str(self.api.artifact(path, type=ARTIFACT_TYPE).digest)

    def has_checkpoint(self, name: str) -> bool:
        """Whether a checkpoint is there, whole."""
        return bool(self.api.artifact_exists(self.checkpoint_path(name), type="model"))

    def checkpoint_path(self, name: str) -> str:
        """A checkpoint's artifact with its alias."""
        return f"{self.entity}/{self.project}/{checkpoint_artifact(self.run_id)}:{name}"

    def name_checkpoint(self, name: str, aliases: Collection[str]) -> bool:
        """Give a checkpoint's newest version these aliases, too; False where none is there yet."""
        versions = self.checkpoints().get(name)
        if not versions:
            return False
        version = versions[0]
        if new := sorted(set(aliases) - set(version.aliases)):
            version.aliases = [*version.aliases, *new]
            version.save()
        return True

    def retire(self, name: str) -> None:
        """Delete a checkpoint's versions, but for those that another run uses."""
        for version in self.checkpoints().get(name, ()):
            if not version.used_by():
                version.delete(delete_aliases=True)

    def set_config(self, config: Mapping[str, JsonValue]) -> None:
        """Set keys of the config; the others stay."""
        run = self.run()
        run.config.update(config)
        run.update()

    def set_labels(self, labels: RunLabels, before: RunLabels) -> None:
        """Show a name, tags and notes; what people wrote there since `before` stays.

        Raises:
            RunUnknown: there is no such run.
        """
        found = read_fields(self.api, self.entity, self.project, self.run_id)
        if found is None:
            raise RunUnknown(f"W&B has no run {self.path}")
        theirs = [tag for tag in found.tags if tag not in before.tags and tag not in labels.tags]
        wanted = replace(
            found,
            name=labels.name or found.name,
            tags=[*labels.tags, *theirs],
            notes=_merged(found.notes, before.notes, labels.notes),
        )
        if wanted.name != found.name:
            rename(self.api, wanted)
        if (wanted.tags, wanted.notes) != (found.tags, found.notes):
            write_fields(self.api, wanted)


def _merged(found: str, before: str, wanted: str) -> str:
    """Notes in which ours are replaced, and what others wrote is left."""
    if not before:
        return found if wanted in found else f"{wanted}\n{found}".strip()
    return found.replace(before, wanted, 1).strip() if before in found else found


def lifetime(days: float | None) -> timedelta | None:
    """How long an artifact is to stay, as the SDK wants it.

    None: until somebody deletes it, whatever its team's default (which would be the SDK's
    `ArtifactTTL.INHERIT`).
    """
    return None if days is None else timedelta(days=days)
