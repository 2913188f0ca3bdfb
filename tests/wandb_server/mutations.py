"""GraphQL's mutations: one root of those on runs, on artifacts, and on the rest."""

import json
from typing import Any

from wandb_server.artifact_mutations import ArtifactMutations
from wandb_server.executor import Args, Refused
from wandb_server.project_node import ProjectNode, ViewNode
from wandb_server.run_mutations import RunMutations
from wandb_server.store import ENTITY


class Mutation(RunMutations, ArtifactMutations):
    """The root of all mutations; each method takes the field's `input`."""

    typename = "Mutation"

    def upsert_model(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        known = self._store.find_project(given.get("entityName"), given.get("name"))
        project = self._store.make_project(given.get("entityName"), given.get("name"))
        node = ProjectNode(self._store, project)
        return {"project": node, "model": node, "inserted": known is None}

    def upsert_view(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        json.loads(given.get("spec") or "{}")
        project = self._store.make_project(given.get("entityName"), given.get("projectName"))
        view, is_new = self._store.views.save(given, project.entity, self._store.clock())
        return {"view": ViewNode(self._store, view), "inserted": is_new}

    def delete_view(self, args: Args) -> dict[str, Any]:
        view = self._store.views.get(args["input"]["id"])
        if view is None:
            raise Refused("view not found")
        del self._store.views.all[view.id]
        return {"success": True, "pendingDrafts": 0, "__typename": "DeleteViewPayload"}

    def create_custom_chart(self, args: Args) -> dict[str, Any]:
        given = dict(args["input"])
        entity, name = given.get("entity") or ENTITY, given["name"]
        if any((c["entity"], c["name"]) == (entity, name) for c in self._store.charts):
            raise Refused(f"custom chart {entity}/{name} already exists")
        self._store.charts.append({**given, "entity": entity})
        return {"chart": {"id": f"{entity}/{name}"}}
