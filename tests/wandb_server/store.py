"""All that the server keeps; it outlives a stop and a start."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wandb_server.artifacts import Artifacts
from wandb_server.blobs import Blobs
from wandb_server.runs import Run
from wandb_server.views import Views

ENTITY = "us"
USER = "ada"
DEFAULT_PROJECT = "uncategorized"


@dataclass
class Project:
    """A project of an entity; it is made by the first that names it."""

    entity: str
    name: str
    number: int
    created_at: float


@dataclass
class Store:
    """Projects, runs, artifacts, views, charts and bytes. Hold `lock` while touching it."""

    clock: Callable[[], float] = time.time
    lock: Any = field(default_factory=threading.RLock)
    projects: dict[tuple[str, str], Project] = field(default_factory=dict)
    runs: dict[tuple[str, str, str], Run] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=Artifacts)
    views: Views = field(default_factory=Views)
    charts: list[dict[str, Any]] = field(default_factory=list)
    blobs: Blobs = field(default_factory=Blobs)
    native_forks: bool = False
    """Whether a run that names a branch point gets its parent's rows."""
    refuses_forks: bool = False
    """Without native forks: whether such a run is refused, or its branch point ignored."""
    url: str = ""

    def make_project(self, entity: str | None, name: str | None) -> Project:
        """A project, made where there is none; without names, the defaults."""
        key = (entity or ENTITY, name or DEFAULT_PROJECT)
        if key not in self.projects:
            self.projects[key] = Project(*key, len(self.projects) + 1, self.clock())
        return self.projects[key]

    def find_project(self, entity: str | None, name: str | None) -> Project | None:
        return self.projects.get((entity or ENTITY, name or DEFAULT_PROJECT))

    def run_by_storage_id(self, storage_id: str) -> Run | None:
        return next((run for run in self.runs.values() if run.storage_id == storage_id), None)

    def runs_of(self, project: Project) -> list[Run]:
        mine = (project.entity, project.name)
        return [run for run in self.runs.values() if (run.entity, run.project) == mine]

    def delete_run(self, run: Run) -> None:
        del self.runs[run.entity, run.project, run.id]
