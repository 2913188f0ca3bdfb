"""Artifacts and their collections as GraphQL shows them."""

from typing import TYPE_CHECKING, Any

from wandb_server.artifacts import Artifact, Collection
from wandb_server.connection import Connection
from wandb_server.executor import Args
from wandb_server.store import Store
from wandb_server.times import iso

if TYPE_CHECKING:
    from wandb_server.project_node import ProjectNode
    from wandb_server.run_node import RunNode


class ArtifactNode:
    """Fields of `Artifact`."""

    typename = "Artifact"

    def __init__(self, store: Store, artifact: Artifact) -> None:
        self._store, self._artifact = store, artifact
        self.id = artifact.id
        self.version_index = artifact.version_index
        self.artifact_type = {"__typename": "ArtifactType", "name": artifact.type}
        self.description = artifact.description
        self.metadata = artifact.metadata_json
        self.ttl_duration_seconds = -1 if artifact.ttl_seconds is None else artifact.ttl_seconds
        self.ttl_is_inherited = artifact.ttl_seconds is None
        self.tags = [tag_node(tag) for tag in artifact.tags]
        self.history_step = artifact.history_step
        self.state = artifact.state
        self.size = artifact.size
        self.digest = artifact.digest
        self.digest_algorithm = artifact.digest_algorithm
        self.commit_hash = None
        self.file_count = len(artifact.manifest)
        self.created_at = iso(artifact.created_at)
        self.updated_at = None if artifact.updated_at is None else iso(artifact.updated_at)

    @property
    def artifact_sequence(self) -> "CollectionNode":
        return CollectionNode(self._store, self._artifact.collection)

    @property
    def aliases(self) -> list[dict[str, Any]]:
        return [
            alias_node(self._store, collection, alias)
            for collection in self._holders
            for alias in collection.aliases_of(self._artifact)
        ]

    @property
    def _holders(self) -> list[Collection]:
        every = self._store.artifacts.collections
        return [collection for collection in every if self._artifact in collection.versions]

    @property
    def artifact_memberships(self) -> Connection:
        return Connection(
            self._holders, {}, lambda of: MembershipNode(self._store, of, self._artifact)
        )

    @property
    def current_manifest(self) -> dict[str, Any] | None:
        blob = self._artifact.manifest_blob
        if blob is None or blob.data is None:
            return None
        return {"id": f"{self.id}-manifest", "file": {"directUrl": f"{self._store.url}{blob.path}"}}

    @property
    def created_by(self) -> "RunNode | None":
        from wandb_server.run_node import RunNode  # a run shows its artifacts in turn

        run = self._artifact.logged_by
        return RunNode(self._store, run) if run is not None else None

    def used_by(self, args: Args) -> Connection:
        from wandb_server.run_node import RunNode

        return Connection(self._artifact.used_by, args, lambda run: RunNode(self._store, run))

    def files(self, args: Args) -> Connection:
        """All entries of the manifest, references too."""
        names = args.get("names")
        entries = [
            (path, entry)
            for path, entry in self._artifact.manifest.items()
            if not names or path in names
        ]
        return Connection(entries, args, lambda each: self._file(*each))

    def files_by_manifest_entries(self, args: Args) -> Connection:
        manifest = self._artifact.manifest
        wanted = [e["name"] for e in args.get("entries") or () if e.get("name") in manifest]
        return Connection(wanted, {"first": len(wanted)}, lambda p: self._file(p, manifest[p]))

    def _file(self, path: str, entry: dict[str, Any]) -> dict[str, Any]:
        blob = self._artifact.stored.get(path)
        url = entry.get("ref") if blob is None else f"{self._store.url}{blob.path}"
        return {
            "__typename": "File",
            "id": f"{self.id}/{path}",
            "name": path,
            "displayName": path,
            "url": url,
            "directUrl": url,
            "sizeBytes": int(entry.get("size", 0)),
            "digest": entry["digest"],
            "md5": entry["digest"],
            "storagePath": path,
            "mimetype": "application/octet-stream",
            "updatedAt": self.updated_at or self.created_at,
        }


class CollectionNode:
    """Fields of `ArtifactSequence` and `ArtifactPortfolio`."""

    interfaces = ("ArtifactCollection",)

    def __init__(self, store: Store, collection: Collection) -> None:
        self._store, self._collection = store, collection
        self.typename = "ArtifactPortfolio" if collection.is_portfolio else "ArtifactSequence"
        self.id = collection.id
        self.name = collection.name
        self.description = collection.description
        self.created_at = iso(collection.created_at)
        self.updated_at = None
        self.default_artifact_type = {"__typename": "ArtifactType", "name": collection.type}
        self.tags = Connection([], {})
        self.digest_algorithm = "MANIFEST_MD5"

    @property
    def project(self) -> "ProjectNode":
        from wandb_server.project_node import ProjectNode

        of = self._collection
        return ProjectNode(self._store, self._store.make_project(of.entity, of.project))

    @property
    def latest_artifact(self) -> ArtifactNode | None:
        latest = self._collection.latest
        return ArtifactNode(self._store, latest) if latest else None

    def aliases(self, args: Args) -> Connection:
        return Connection(
            list(self._collection.aliases),
            args,
            lambda alias: alias_node(self._store, self._collection, alias),
        )

    def artifact_membership(self, args: Args) -> "MembershipNode | None":
        artifact = self._collection.find(args["aliasName"])
        return artifact and MembershipNode(self._store, self._collection, artifact)

    def artifacts(self, args: Args) -> Connection:
        """Versions, newest first as the SDK expects them."""
        return Connection(
            self._collection.live[::-1],
            args,
            lambda each: ArtifactNode(self._store, each),
            version=lambda each: f"v{self._collection.index_of(each)}",
        )


class MembershipNode:
    """Fields of `ArtifactCollectionMembership`: a version's place in a collection."""

    typename = "ArtifactCollectionMembership"

    def __init__(self, store: Store, collection: Collection, artifact: Artifact) -> None:
        self._artifact_node = ArtifactNode(store, artifact)
        self.id = f"{collection.id}/{artifact.id}"
        self.version_index = collection.index_of(artifact)
        self.created_at = iso(artifact.created_at)
        self.aliases = [alias_node(store, collection, a) for a in collection.aliases_of(artifact)]
        self.artifact_collection = CollectionNode(store, collection)
        self.artifact = self._artifact_node

    def files(self, args: Args) -> Connection:
        return self._artifact_node.files(args)


def alias_node(store: Store, collection: Collection, alias: str) -> dict[str, Any]:
    """Fields of `ArtifactAlias`."""
    return {
        "__typename": "ArtifactAlias",
        "id": f"{collection.id}/{alias}",
        "alias": alias,
        "artifactCollection": CollectionNode(store, collection),
    }


def tag_node(tag: str) -> dict[str, Any]:
    """Fields of `Tag`."""
    return {"__typename": "Tag", "id": f"Tag:{tag}", "name": tag}
