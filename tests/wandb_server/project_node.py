"""A project as GraphQL shows it."""

import json
from typing import Any

from wandb_server.artifact_node import ArtifactNode, CollectionNode, MembershipNode
from wandb_server.artifacts import Collection
from wandb_server.connection import Connection
from wandb_server.executor import Args
from wandb_server.filters import matches, ordered
from wandb_server.run_node import RunNode
from wandb_server.runs import Run
from wandb_server.store import USER, Project, Store
from wandb_server.times import iso
from wandb_server.views import View


class ProjectNode:
    """Fields of `Project`, which older queries call `model`."""

    typename = "Project"

    def __init__(self, store: Store, project: Project) -> None:
        self._store, self._project = store, project
        self.id = f"Project:{project.number}"
        self.internal_id = str(project.number)
        self.name = project.name
        self.entity_name = project.entity
        self.entity = {"__typename": "Entity", "id": project.entity, "name": project.entity}
        self.created_at = iso(project.created_at)
        self.is_benchmark = False
        self.read_only = False
        self.access = "PRIVATE"
        self.views = "{}"
        self.description = None

    @property
    def user(self) -> dict[str, Any]:
        return user_node(self._project.entity)

    def bucket(self, args: Args) -> RunNode | None:
        return self.run(args)

    def run(self, args: Args) -> RunNode | None:
        run = self._store.runs.get((self._project.entity, self._project.name, args["name"]))
        return RunNode(self._store, run) if run else None

    def run_count(self, args: Args) -> int:
        return len(self._chosen(args))

    def runs(self, args: Args) -> Connection:
        runs = ordered(self._chosen(args), args.get("order"))
        return Connection(runs, args, lambda run: RunNode(self._store, run))

    def _chosen(self, args: Args) -> list[Run]:
        wanted = json.loads(args.get("filters") or "{}")
        return [run for run in self._store.runs_of(self._project) if matches(run, wanted)]

    def artifact(self, args: Args) -> ArtifactNode | None:
        found = self._store.artifacts.find(self._project.entity, self._project.name, args["name"])
        return ArtifactNode(self._store, found[1]) if found else None

    def artifact_collection_membership(self, args: Args) -> MembershipNode | None:
        found = self._store.artifacts.find(self._project.entity, self._project.name, args["name"])
        return MembershipNode(self._store, *found) if found else None

    def artifact_collection(self, args: Args) -> CollectionNode | None:
        found = self._store.artifacts.collection(
            self._project.entity, self._project.name, args["name"]
        )
        return CollectionNode(self._store, found) if found else None

    def artifact_collections(self, args: Args) -> Connection:
        return self._collections(self._all_collections, args)

    def artifact_types(self, args: Args) -> Connection:
        return Connection(sorted({c.type for c in self._all_collections}), args, self._type)

    def artifact_type(self, args: Args) -> dict[str, Any] | None:
        known = {collection.type for collection in self._all_collections}
        return self._type(args["name"]) if args["name"] in known else None

    @property
    def _all_collections(self) -> list[Collection]:
        return self._store.artifacts.of_project(self._project.entity, self._project.name)

    def _collections(self, collections: list[Collection], args: Args) -> Connection:
        return Connection(collections, args, lambda each: CollectionNode(self._store, each))

    def _type(self, name: str) -> dict[str, Any]:
        mine = [collection for collection in self._all_collections if collection.type == name]
        return {
            "__typename": "ArtifactType",
            "id": f"ArtifactType:{name}",
            "name": name,
            "description": None,
            "createdAt": self.created_at,
            "artifactCollection": self.artifact_collection,
            "artifactCollections": lambda args: self._collections(mine, args),
        }

    def all_views(self, args: Args) -> Connection:
        kind, name = args.get("viewType"), args.get("viewName")
        views = [
            view
            for view in self._store.views.of_project(self._project.entity, self._project.name)
            if kind in (None, view.type) and name in (None, view.name)
        ]
        return Connection(views, args, lambda view: ViewNode(self._store, view))


class ViewNode:
    """A saved view."""

    typename = "View"

    def __init__(self, store: Store, view: View) -> None:
        self.id = view.id
        self.type = view.type
        self.name = view.name
        self.display_name = view.display_name
        self.description = view.description
        self.spec = view.spec_json
        self.created_at = iso(view.created_at)
        self.updated_at = iso(view.updated_at)
        self.user = {**user_node(view.entity), "photoUrl": None}
        self.project = ProjectNode(store, store.make_project(view.entity, view.project))
        self.access_tokens: list[object] = []


def user_node(entity: str) -> dict[str, Any]:
    """The one user; whatever the key, it is theirs."""
    return {
        "__typename": "User",
        "id": f"User:{USER}",
        "name": USER,
        "username": USER,
        "email": f"{USER}@example.org",
        "entity": entity,
        "admin": False,
        "flags": "{}",
        "deletedAt": None,
        "apiKeys": {"edges": []},
        "teams": {"edges": [{"node": {"name": entity}}]},
    }
