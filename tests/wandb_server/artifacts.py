"""Artifacts: versions of collections, their aliases, and who logged and used them."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from wandb_server.blobs import Blob
from wandb_server.runs import Run


@dataclass(eq=False, repr=False)
class Artifact:
    """One version. Its state is PENDING until it is committed, and DELETED in the end."""

    id: str
    collection: "Collection"
    digest: str
    created_at: float
    digest_algorithm: str = "MANIFEST_MD5"
    client_id: str | None = None
    state: str = "PENDING"
    description: str | None = None
    metadata_json: str | None = None
    ttl_seconds: int | None = None
    """None: what the collection says, which is for ever."""
    tags: list[str] = field(default_factory=list)
    wanted_aliases: list[tuple[str, str]] = field(default_factory=list)
    """(collection, alias): given when it is committed."""
    version_index: int | None = None
    updated_at: float | None = None
    history_step: int | None = None
    logged_by: Run | None = None
    used_by: list[Run] = field(default_factory=list)
    manifest_blob: Blob | None = None
    stored: dict[str, Blob] = field(default_factory=dict)
    """Files uploaded for it by path in the artifact."""

    def __repr__(self) -> str:
        return f"<{self.type} {self.name} {self.state}>"

    @property
    def name(self) -> str:
        """As people write it: `collection:v3`."""
        version = "pending" if self.version_index is None else f"v{self.version_index}"
        return f"{self.collection.name}:{version}"

    @property
    def type(self) -> str:
        return self.collection.type

    @property
    def metadata(self) -> dict[str, Any]:
        return json.loads(self.metadata_json or "{}")

    @property
    def aliases(self) -> list[str]:
        """In its own collection."""
        return self.collection.aliases_of(self)

    @property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """Entries by path: digest, and size or ref; {} until the manifest came."""
        if self.manifest_blob is None or self.manifest_blob.data is None:
            return {}
        return json.loads(self.manifest_blob.data)["contents"]

    @property
    def files(self) -> dict[str, bytes]:
        """The bytes of each stored file by path; references have none."""
        return {name: b.data for name, b in self.stored.items() if b.data is not None}

    @property
    def size(self) -> int:
        return sum(int(entry.get("size", 0)) for entry in self.manifest.values())


@dataclass(eq=False, repr=False)
class Collection:
    """A sequence of versions that runs log, or a portfolio of versions linked to it."""

    id: str
    entity: str
    project: str
    name: str
    type: str
    created_at: float
    is_portfolio: bool = False
    description: str | None = None
    client_id: str | None = None
    versions: list[Artifact] = field(default_factory=list)
    """By index; deleted ones keep theirs."""
    aliases: dict[str, Artifact] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.type} {self.name}: {len(self.versions)} versions>"

    @property
    def live(self) -> list[Artifact]:
        return [each for each in self.versions if each.state == "COMMITTED"]

    @property
    def latest(self) -> Artifact | None:
        """The newest version that is not deleted."""
        return self.live[-1] if self.live else None

    def aliases_of(self, artifact: Artifact) -> list[str]:
        return [alias for alias, holder in self.aliases.items() if holder is artifact]

    def index_of(self, artifact: Artifact) -> int:
        """Its number here.

        Raises:
            ValueError: it is not of this collection.
        """
        return self.versions.index(artifact)

    def find(self, alias: str) -> Artifact | None:
        """The version that an alias or `v<number>` means."""
        if alias in self.aliases:
            return self.aliases[alias]
        for index, artifact in enumerate(self.versions):
            if alias in (f"v{index}", artifact.id) and artifact.state != "DELETED":
                return artifact
        return None

    def add(self, artifact: Artifact) -> int:
        """Make it the newest version, and `latest`.

        Returns:
            Its number.
        """
        if artifact not in self.versions:
            self.versions.append(artifact)
        self.aliases["latest"] = self.versions[-1]
        return self.index_of(artifact)

    def delete(self, artifact: Artifact) -> None:
        """Take a version out of sight; `latest` goes back to the one before."""
        artifact.state = "DELETED"
        for alias in self.aliases_of(artifact):
            del self.aliases[alias]
        if self.latest is not None:
            self.aliases.setdefault("latest", self.latest)


class Artifacts:
    """All artifacts and collections of the server."""

    def __init__(self) -> None:
        self.all: dict[str, Artifact] = {}
        self.collections: list[Collection] = []

    def get(self, some_id: str) -> Artifact | None:
        """By the server's id or the client's."""
        return self.all.get(some_id) or next(
            (each for each in self.all.values() if each.client_id == some_id), None
        )

    def collection(self, entity: str, project: str, name: str) -> Collection | None:
        wanted = (entity, project, name)
        return next((c for c in self.collections if (c.entity, c.project, c.name) == wanted), None)

    def of_project(self, entity: str, project: str) -> list[Collection]:
        return [c for c in self.collections if (c.entity, c.project) == (entity, project)]

    def find(self, entity: str, project: str, name: str) -> tuple[Collection, Artifact] | None:
        """What `collection:alias` names, or an id; without an alias it means the latest."""
        collection_name, _, alias = name.partition(":")
        collection = self.collection(entity, project, collection_name)
        if collection is None:
            artifact = self.get(name)
            return (artifact.collection, artifact) if artifact else None
        artifact = collection.find(alias or "latest")
        return (collection, artifact) if artifact else None

    def make_collection(
        self, entity: str, project: str, name: str, kind: str, now: float, portfolio: bool = False
    ) -> Collection:
        """A collection, made where there is none."""
        found = self.collection(entity, project, name)
        if found is None:
            number = str(len(self.collections) + 1)
            label = "ArtifactPortfolio" if portfolio else "ArtifactSequence"
            found = Collection(_id(label, number), entity, project, name, kind, now, portfolio)
            self.collections.append(found)
        return found

    def make(self, collection: Collection, digest: str, now: float, deduplicate: bool) -> Artifact:
        """A new artifact, or the version of the collection that has this very digest."""
        if deduplicate:
            for artifact in collection.live:
                if artifact.digest == digest:
                    return artifact
        artifact = Artifact(_id("Artifact", str(len(self.all) + 1)), collection, digest, now)
        self.all[artifact.id] = artifact
        return artifact

    def commit(self, artifact: Artifact, now: float) -> None:
        """Give it its number and its aliases."""
        if artifact.state == "PENDING":
            artifact.state, artifact.updated_at = "COMMITTED", now
            artifact.version_index = artifact.collection.add(artifact)
        self.give_aliases(artifact)

    def give_aliases(self, artifact: Artifact) -> None:
        """The aliases that were wanted for it; each leaves the version that had it."""
        for name, alias in artifact.wanted_aliases:
            of = artifact.collection
            collection = self.collection(of.entity, of.project, name) or of
            if alias != f"v{artifact.version_index}":
                collection.aliases[alias] = artifact
        artifact.wanted_aliases = []


def _id(label: str, number: str) -> str:
    return base64.b64encode(f"{label}:{number}".encode()).decode()
