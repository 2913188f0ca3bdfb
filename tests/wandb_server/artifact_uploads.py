"""GraphQL's mutations by which an artifact comes: made, uploaded, committed."""

from typing import Any

from wandb_server.artifact_node import ArtifactNode
from wandb_server.artifacts import Artifact, Collection
from wandb_server.blobs import Blob
from wandb_server.executor import Args, Refused
from wandb_server.store import Project, Store


class ArtifactUploads:
    """Each method takes the field's `input`."""

    _store: Store

    def create_artifact(self, args: Args) -> dict[str, Any]:
        """A pending version, or the one of the collection that has the same digest."""
        given, now = args["input"], self._store.clock()
        project = self._store.make_project(given.get("entityName"), given.get("projectName"))
        names = given.get("artifactCollectionNames") or [given.get("artifactCollectionName")]
        artifacts = self._store.artifacts
        collection = artifacts.make_collection(
            project.entity, project.name, names[0], given["artifactTypeName"], now
        )
        if collection.type != given["artifactTypeName"]:
            raise Refused(f"artifact collection {names[0]} is of type {collection.type}")
        collection.client_id = given.get("sequenceClientID") or collection.client_id
        deduplicate = bool(given.get("enableDigestDeduplication"))
        artifact = artifacts.make(collection, given["digest"], now, deduplicate)
        artifact.client_id = given.get("clientID") or artifact.client_id
        artifact.wanted_aliases = wanted_aliases(given.get("aliases"), names[0])
        if artifact.state == "COMMITTED":
            artifacts.give_aliases(artifact)
        else:
            describe(artifact, given)
        self._log(project, given.get("runName"), artifact)
        return {"artifact": ArtifactNode(self._store, artifact)}

    def _log(self, project: Project, run_name: str | None, artifact: Artifact) -> None:
        run = self._store.runs.get((project.entity, project.name, run_name or ""))
        if run is not None:
            artifact.logged_by = artifact.logged_by or run
            if artifact not in run.logged:
                run.logged.append(artifact)

    def create_artifact_manifest(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        artifact = self._artifact(given["artifactID"])
        if artifact.manifest_blob is None:
            artifact.manifest_blob = self._store.blobs.place("wandb_manifest.json")
        return self._manifest(artifact)

    def update_artifact_manifest(self, args: Args) -> dict[str, Any]:
        manifest_id = args["input"]["artifactManifestID"]
        return self._manifest(self._artifact(manifest_id.removesuffix("-manifest")))

    def _manifest(self, artifact: Artifact) -> dict[str, Any]:
        assert artifact.manifest_blob is not None
        file = {
            "id": f"{artifact.id}-manifest-file",
            "uploadUrl": f"{self._store.url}{artifact.manifest_blob.path}",
            "uploadHeaders": [],
        }
        return {"artifactManifest": {"id": f"{artifact.id}-manifest", "file": file}}

    def create_artifact_files(self, args: Args) -> dict[str, Any]:
        edges = [{"node": self._file(each)} for each in args["input"]["artifactFiles"]]
        return {"files": {"edges": edges}}

    def _file(self, given: Args) -> dict[str, Any]:
        """Where a file of an artifact is to be put; nowhere if its bytes are here already."""
        artifact = self._artifact(given["artifactID"])
        known = self._same_bytes(artifact.collection, given.get("md5"))
        blob = known or self._store.blobs.place(given["name"])
        artifact.stored[given["name"]] = blob
        url = f"{self._store.url}{blob.path}"
        parts = [part["partNumber"] for part in given.get("uploadPartsInput") or ()]
        multipart = {
            "uploadID": f"upload:{blob.path}",
            "uploadUrlParts": [
                {"partNumber": number, "uploadUrl": f"{url}?part={number}"} for number in parts
            ],
        }
        return {
            "id": f"{artifact.id}/{given['name']}",
            "name": given["name"],
            "displayName": given["name"],
            "storagePath": blob.path,
            "uploadUrl": None if known else url,
            "uploadHeaders": [],
            "uploadMultipartUrls": multipart if parts and not known else None,
            "artifact": ArtifactNode(self._store, artifact),
        }

    def _same_bytes(self, collection: Collection, md5: str | None) -> Blob | None:
        return next(
            (
                blob
                for version in collection.live
                for blob in version.stored.values()
                if blob.data is not None and blob.md5 == md5
            ),
            None,
        )

    def complete_multipart_upload_artifact(self, args: Args) -> dict[str, Any]:
        blob = self._store.blobs.get(args["input"]["storagePath"])
        if blob is None:
            raise Refused("no such upload")
        blob.join_parts(self._store.clock())
        return {"digest": blob.md5}

    def commit_artifact(self, args: Args) -> dict[str, Any]:
        artifact = self._artifact(args["input"]["artifactID"])
        lacking = [
            path
            for path, entry in artifact.manifest.items()
            if entry.get("ref") is None
            and (path not in artifact.stored or artifact.stored[path].data is None)
            and not self._is_elsewhere(entry)
        ]
        if artifact.manifest_blob is None or artifact.manifest_blob.data is None or lacking:
            raise Refused(f"artifact {artifact.name} lacks its manifest or files {lacking}")
        self._store.artifacts.commit(artifact, self._store.clock())
        return {"artifact": ArtifactNode(self._store, artifact)}

    def _is_elsewhere(self, entry: Args) -> bool:
        """Whether an entry that this artifact did not upload was with the artifact it came from."""
        origin = self._store.artifacts.get(entry.get("birthArtifactID") or "")
        return origin is not None

    def _artifact(self, some_id: str) -> Artifact:
        found = self._store.artifacts.get(some_id)
        if found is None:
            raise Refused("artifact not found")
        return found


def describe(artifact: Artifact, given: Args) -> None:
    for name, field in (
        ("description", "description"),
        ("metadata", "metadata_json"),
        ("digestAlgorithm", "digest_algorithm"),
        ("historyStep", "history_step"),
    ):
        if given.get(name) is not None:
            setattr(artifact, field, given[name])
    seconds = given.get("ttlDurationSeconds")
    if seconds is not None:
        artifact.ttl_seconds = None if seconds == -1 else seconds
    if given.get("tags"):
        artifact.tags = [each["tagName"] for each in given["tags"]]


def wanted_aliases(given: list[dict[str, str]] | None, name: str) -> list[tuple[str, str]]:
    return [(each.get("artifactCollectionName") or name, each["alias"]) for each in given or ()]
