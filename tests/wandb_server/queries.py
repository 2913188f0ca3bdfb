"""What GraphQL's queries begin with."""

from typing import Any

from wandb_server.artifact_node import ArtifactNode, CollectionNode
from wandb_server.connection import Connection
from wandb_server.executor import Args
from wandb_server.project_node import ProjectNode, ViewNode, user_node
from wandb_server.store import ENTITY, Store

FEATURES = (
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
    "ARTIFACT_DIGEST_ALGORITHM",
    "ARTIFACT_TAGS",
    "FILESTREAM_GZIP",
    "LARGE_FILENAMES",
    "MARK_RUN_FILES_UPLOADED",
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
)
"""What the SDK may rely on."""


class Query:
    """The root of all queries."""

    typename = "Query"

    def __init__(self, store: Store) -> None:
        self._store = store
        self.viewer = user_node(ENTITY)
        self.server_info = {"features": [{"name": n, "isEnabled": True} for n in FEATURES]}

    def project(self, args: Args) -> ProjectNode | None:
        found = self._store.find_project(args.get("entityName"), args.get("name"))
        return ProjectNode(self._store, found) if found else None

    def model(self, args: Args) -> ProjectNode:
        """A project in older words; the one of a run that is about to be made is made."""
        return ProjectNode(
            self._store, self._store.make_project(args.get("entityName"), args.get("name"))
        )

    def models(self, args: Args) -> Connection:
        entity = args.get("entityName") or ENTITY
        found = [p for p in self._store.projects.values() if p.entity == entity]
        return Connection(found, args, lambda project: ProjectNode(self._store, project))

    def entity(self, args: Args) -> dict[str, Any]:
        name = args.get("name") or ENTITY
        return {
            "__typename": "Entity",
            "id": name,
            "name": name,
            "organization": None,
            "xxhashDigestsEnabled": False,
        }

    def artifact(self, args: Args) -> ArtifactNode | None:
        found = self._store.artifacts.get(args["id"])
        return ArtifactNode(self._store, found) if found else None

    def artifact_collection(self, args: Args) -> CollectionNode | None:
        every = self._store.artifacts.collections
        found = next((each for each in every if each.id == args["id"]), None)
        return CollectionNode(self._store, found) if found else None

    def client_idmapping(self, args: Args) -> dict[str, Any] | None:
        """The server's id of an artifact or a collection that a client has named."""
        wanted = args["clientID"]
        if artifact := self._store.artifacts.get(wanted):
            return {"serverID": artifact.id}
        every = self._store.artifacts.collections
        return next(({"serverID": c.id} for c in every if c.client_id == wanted), None)

    def view(self, args: Args) -> ViewNode | None:
        found = self._store.views.get(args["id"])
        return ViewNode(self._store, found) if found else None
