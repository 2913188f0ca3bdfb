"""GraphQL's mutations of runs."""

import json
import mimetypes
from typing import Any

from wandb_server.executor import Args, Refused
from wandb_server.run_node import RunNode
from wandb_server.runs import Alert, Run, RunFile
from wandb_server.store import USER, Store


class RunMutations:
    """Each method takes the field's `input`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def upsert_bucket(self, args: Args) -> dict[str, Any]:
        """Make a run, or change the one that `id`, or entity, project and `name` tell.

        What is not given, or null, stays. A client that names a run is beginning it, or going on.
        """
        given = args["input"]
        run = self._store.run_by_storage_id(given["id"]) if given.get("id") else None
        is_new = False
        if run is None:
            if given.get("name") is None:
                raise Refused("run not found")
            run, is_new = self._named(given)
        branch = _branch_point(given.get("config")) if is_new else None
        if branch is not None and self._store.refuses_forks and not self._store.native_forks:
            del self._store.runs[run.entity, run.project, run.id]
            raise Refused("forking runs is not supported by this server")
        if given.get("host") is not None:  # the SDK tells it when it begins or goes on, only then
            run.begin()
        _change(run, given)
        if branch is not None and self._store.native_forks:
            self._copy(run, *branch)
        node = RunNode(self._store, run)
        if given.get("name") is not None:
            node.history_line_count = run.copied_rows if is_new else 0
        return {"bucket": node, "inserted": is_new}

    def _named(self, given: Args) -> tuple[Run, bool]:
        project = self._store.make_project(given.get("entityName"), given.get("modelName"))
        key = (project.entity, project.name, given["name"])
        is_new = key not in self._store.runs
        if is_new:
            self._store.runs[key] = Run(*key, self._store.clock, USER)
        return self._store.runs[key], is_new

    def _copy(self, run: Run, parent_id: str, step: int) -> None:
        """Give a native fork its parent's rows up to the step."""
        parent = self._store.runs.get((run.entity, run.project, parent_id))
        if parent is None:
            del self._store.runs[run.entity, run.project, run.id]
            raise Refused(f"run {parent_id} to fork from was not found")
        kept = parent.lines_until(step)
        run.history.write(0, kept)
        run.copied_rows, run.forked_from = len(kept), (parent_id, step)

    def rewind_run(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        run = self._run(given, given["runName"])
        run.rewind(int(given["metricValue"]))
        return {"rewoundRun": RunNode(self._store, run)}

    def delete_run(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        run = self._by_id(given["id"])
        if given.get("deleteArtifacts"):
            for artifact in run.logged:
                artifact.collection.delete(artifact)
        self._store.delete_run(run)
        return {"clientMutationId": None}

    def stop_run(self, args: Args) -> dict[str, Any]:
        self._by_id(args["input"]["id"]).stop_wanted = True
        return {"success": True}

    def update_run_state(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        self._by_id(given["id"]).told_state = given["state"]
        return {"success": True}

    def notify_scriptable_run_alert(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        wait = (given.get("waitDuration") or 0) / 1000
        alert = Alert(given["title"], given["text"], given.get("severity") or "INFO", wait)
        self._run(given, given["runName"]).alerts.append(alert)
        return {"success": True}

    def create_run_files(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        run = self._run(given, given["runName"])
        files = []
        for name in given["files"]:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            file = run.all_files.get(name)
            if file is None:
                file = run.all_files[name] = RunFile(name, self._store.blobs.place(name), kind)
            files.append({"name": name, "uploadUrl": f"{self._store.url}{file.blob.path}"})
        return {"runID": run.storage_id, "uploadHeaders": [], "files": files}

    def mark_run_files_uploaded(self, args: Args) -> dict[str, Any]:
        self._run(args["input"], args["input"]["runName"])
        return {"success": True}

    def delete_files(self, args: Args) -> dict[str, Any]:
        wanted = set(args["input"]["files"])
        for run in self._store.runs.values():
            for name, file in list(run.all_files.items()):
                if file.id in wanted:
                    del run.all_files[name]
        return {"success": True}

    def _run(self, given: Args, name: str) -> Run:
        project = self._store.make_project(given.get("entityName"), given.get("projectName"))
        run = self._store.runs.get((project.entity, project.name, name))
        if run is None:
            raise Refused(f"run {project.entity}/{project.name}/{name} not found")
        return run

    def _by_id(self, storage_id: str) -> Run:
        run = self._store.run_by_storage_id(storage_id)
        if run is None:
            raise Refused("run not found")
        return run


def _change(run: Run, given: Args) -> None:
    for name, field in (
        ("displayName", "display_name"),
        ("groupName", "group"),
        ("jobType", "job_type"),
        ("notes", "notes"),
        ("description", "description"),
        ("tags", "tags"),
        ("host", "host"),
        ("jobProgram", "program"),
        ("commit", "commit"),
        ("state", "told_state"),
    ):
        if given.get(name) is not None:
            setattr(run, field, given[name])
    if given.get("config") is not None:
        run.set_config(given["config"])
    if given.get("summaryMetrics") is not None:
        run.summary = json.loads(given["summaryMetrics"])


def _branch_point(config_json: str | None) -> tuple[str, int] | None:
    """The parent's id and the step that a forking client names in the config."""
    config = json.loads(config_json or "{}")
    point = (config.get("_wandb", {}).get("value") or {}).get("branch_point")
    return (point["run_id"], int(point["step"])) if point else None
