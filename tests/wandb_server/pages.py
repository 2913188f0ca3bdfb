"""Pages for people: what was received; a form for tags, and the Stop button.

Whatever clients sent is escaped by the templates, and the pages carry no script.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from wandb_server.artifacts import Artifact
from wandb_server.curves import HEIGHT, WIDTH, curves
from wandb_server.runs import Run
from wandb_server.store import Project, Store
from wandb_server.times import iso
from wandb_server.views import View

if TYPE_CHECKING:
    from wandb_server.server import WandbServer

LAST_ROWS = 20
LAST_LINES = 200


class NotHere(Exception):
    """There is no such page or form; the text says so."""


def page(server: "WandbServer", path: str) -> str:
    """The HTML at a path: `/`, a project's, a run's, an artifact's or a view's.

    Raises:
        NotHere: nothing is there.
    """
    store = server.store
    with store.lock:
        match [unquote(part) for part in path.strip("/").split("/")]:
            case [""]:
                return _html("home.html", projects=list(store.projects.values()))
            case [entity, project] | [entity, project, "workspace" | "runs" | "reports"]:
                return _project(store, _project_of(store, entity, project))
            case [entity, project, "runs", run_id]:
                return _run(store, _run_of(store, entity, project, run_id))
            case [entity, project, "artifacts", _, name, version]:
                return _artifact(store, entity, project, f"{name}:{version}")
            case [_, _, "reports" | "views", name]:
                return _view(store, name)
    raise NotHere(f"there is no page {path}")


def press(server: "WandbServer", path: str, form: dict[str, list[str]]) -> str:
    """Do what a form asks.

    Returns:
        The page to go back to.

    Raises:
        NotHere: there is no such form.
    """
    store = server.store
    with store.lock:
        match [unquote(part) for part in path.strip("/").split("/")]:
            case [entity, project, "runs", run_id, ("stop" | "tags") as verb]:
                run = _run_of(store, entity, project, run_id)
                if verb == "stop":
                    run.stop_wanted = True
                else:
                    _change_tags(run, form)
                return run_url(run)
    raise NotHere(f"there is no form {path}")


def _change_tags(run: Run, form: dict[str, list[str]]) -> None:
    for tag in form.get("add", []):
        if tag.strip() and tag.strip() not in run.tags:
            run.tags = [*run.tags, tag.strip()]
    for tag in form.get("remove", []):
        run.tags = [each for each in run.tags if each != tag]


def _project_of(store: Store, entity: str, name: str) -> Project:
    found = store.projects.get((entity, name))
    if found is None:
        raise NotHere(f"there is no project {entity}/{name}")
    return found


def _run_of(store: Store, entity: str, project: str, run_id: str) -> Run:
    found = store.runs.get((entity, project, run_id))
    if found is None:
        raise NotHere(f"there is no run {entity}/{project}/{run_id}")
    return found


def _project(store: Store, project: Project) -> str:
    return _html(
        "project.html",
        project=project,
        runs=store.runs_of(project),
        collections=store.artifacts.of_project(project.entity, project.name),
        views=store.views.of_project(project.entity, project.name),
    )


def _run(store: Store, run: Run) -> str:
    rows = run.rows
    names = {name for row in rows[-LAST_ROWS:] for name in row} - {"_step"}
    return _html(
        "run.html",
        run=run,
        files=[file for file in run.all_files.values() if file.blob.data is not None],
        curves=curves(run),
        width=WIDTH,
        height=HEIGHT,
        names=["_step", *sorted(names)],
        rows=rows[-LAST_ROWS:],
        lines=run.output.tail(LAST_LINES),
    )


def _artifact(store: Store, entity: str, project: str, name: str) -> str:
    found = store.artifacts.find(entity, project, name)
    if found is None:
        raise NotHere(f"there is no artifact {entity}/{project}/{name}")
    return _html("artifact.html", artifact=found[1])


def _view(store: Store, name: str) -> str:
    """By its id, which a report's URL has after the title."""
    view = store.views.get(name.rpartition("--")[2])
    if view is None:
        raise NotHere(f"there is no report or workspace {name}")
    return _html("view.html", view=view)


def run_url(run: Run) -> str:
    return "/" + "/".join(quote(part, safe="") for part in run.path.strip("/").split("/"))


def project_url(project: Project | Run | View) -> str:
    name = project.name if isinstance(project, Project) else project.project
    return f"/{quote(project.entity, safe='')}/{quote(name, safe='')}"


def artifact_url(artifact: Artifact) -> str:
    of = artifact.collection
    version = (
        artifact.name.rpartition(":")[2] if artifact.version_index is not None else artifact.id
    )
    parts = (of.entity, of.project, "artifacts", of.type, of.name, version)
    return "/" + "/".join(quote(part, safe="") for part in parts)


def view_url(view: View) -> str:
    return f"{project_url(view)}/views/{quote(view.id, safe='')}"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "run_url": run_url,
        "project_url": project_url,
        "artifact_url": artifact_url,
        "view_url": view_url,
        "time": iso,
        "pretty": lambda value: json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False),
    }
    templates.filters.update(filters)
    return templates


def _html(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
