"""A small stand-in for the W&B server on loopback: enough for the SDK to upload one run.

It answers each GraphQL operation from a table, keeps every row that the file stream brings and the
files of artifacts, which it hands out again, and can be told to refuse or to hang. It knows no
accounts: any key will do, unless `refuse` is set.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn:
    """What the server was told, and how it is to behave."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.history: list[str] = []
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.artifacts: list[dict[str, Any]] = []
        self.operations: list[str] = []
        self.uploads: dict[str, bytes] = {}
        """By path below the URL."""
        self._files: dict[str, dict[str, str]] = {}
        """Of each artifact, by its id: names and URLs; its manifest has none."""
        self._manifests: dict[str, str] = {}
        self.refuse: int | None = None
        """An HTTP status that every request gets."""
        self.hanging = threading.Event()
        """Set: uploads of rows get no answer until `released`."""
        self.released = threading.Event()
        self.url = ""

    def rows(self) -> list[dict[str, Any]]:
        """The history as it stands."""
        with self.lock:
            return [json.loads(line) for line in self.history]

    def stream(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take one batch of the file stream."""
        with self.lock:
            for name, part in body.get("files", {}).items():
                if name == "wandb-history.jsonl":
                    end = part["offset"] + len(part["content"])
                    self.history[part["offset"] : end] = part["content"]
                if name == "wandb-summary.json":
                    self.summary = json.loads(part["content"][-1])
            if body.get("complete"):
                self.exit_code = body.get("exitcode")
        return {}

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of one GraphQL operation."""
        with self.lock:
            self.operations.append(operation)
            make = getattr(self, f"_{operation}", None)
            return make(variables) if make else {}

    def _Viewer(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"viewer": {"id": "u", "entity": "us", "username": "us", "teams": {"edges": []}}}

    def _GetDefaultEntity(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"viewer": {"id": "u", "entity": "us"}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if not self.history:
            return {"model": {"id": "p", "name": "midcourse", "bucket": None}}
        tail = json.dumps(self.history[-1:])
        bucket = {
            "id": "b",
            "name": variables["name"],
            "summaryMetrics": json.dumps(self.summary),
            "displayName": variables["name"],
            "logLineCount": 0,
            "historyLineCount": len(self.history),
            "eventsLineCount": 0,
            "historyTail": tail,
            "eventsTail": "[]",
            "config": json.dumps(self.config),
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"model": {"id": "p", "name": "midcourse", "bucket": bucket}}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if variables.get("config"):
            self.config = json.loads(variables["config"])
        project = {"id": "p", "name": "midcourse", "entity": {"id": "e", "name": "us"}}
        name = variables.get("name")
        bucket = {
            "id": "b",
            "name": name,
            "displayName": name,
            "config": json.dumps(self.config),
            "project": project,
            "historyLineCount": 0,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": not self.history}}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        files = [{"name": name, "uploadUrl": self._put()} for name in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _ArtifactType(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"project": {"artifact": None}}

    def _CreateArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        given = variables.get("input", variables)
        self.artifacts.append(given)
        sequence = {"id": "s", "latestArtifact": None}
        artifact = {"id": f"a{len(self.artifacts)}", "state": "PENDING"}
        return {"createArtifact": {"artifact": {**artifact, "artifactSequence": sequence}}}

    def _CreateArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        url = self._put()
        self._manifests[variables["artifactID"]] = url
        file = {"id": "f", "uploadUrl": url, "uploadHeaders": []}
        manifest = {"id": "m", "file": file}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _CreateArtifactFiles(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        given = variables.get("input", variables)["artifactFiles"]
        edges = []
        for file in given:
            url = self._put()
            self._files.setdefault(file["artifactID"], {})[file["name"]] = url
            node = {
                "id": "f",
                "name": file["name"],
                "storagePath": f"path/{file['name']}",
                "uploadUrl": url,
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    # -- downloads: the newest version of a collection, whatever the alias --------------------

    def _newest(self, collection: str) -> str | None:
        """The id of the newest artifact of a collection."""
        names = [given["artifactCollectionName"] for given in self.artifacts]
        found = [f"a{number}" for number, name in enumerate(names, start=1) if name == collection]
        return found[-1] if found else None

    def _ArtifactMembershipByName(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        collection, _, alias = variables["name"].partition(":")
        found = self._newest(collection)
        if found is None:
            return {"project": {"artifactCollectionMembership": None}}
        given = self.artifacts[int(found[1:]) - 1]
        project = {"id": "p", "internalId": "1", "name": "midcourse", "entity": {"name": "us"}}
        sequence = {"__typename": "ArtifactSequence", "name": collection, "project": project}
        aliases = [{"__typename": "ArtifactAlias", "id": "x", "alias": alias}]
        artifact = {
            "__typename": "Artifact",
            "id": found,
            "artifactSequence": sequence,
            "versionIndex": 0,
            "artifactType": {"name": given["artifactTypeName"]},
            "description": None,
            "metadata": given.get("metadata") or "{}",
            "ttlDurationSeconds": 0,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": 1,
            "digest": given["digest"],
            "digestAlgorithm": "MANIFEST_MD5",
            "commitHash": None,
            "fileCount": len(self._files.get(found, {})),
            "createdAt": "2026-05-01T12:00:00Z",
            "updatedAt": None,
            "aliases": [],
        }
        membership = {
            "__typename": "ArtifactCollectionMembership",
            "id": "y",
            "versionIndex": 0,
            "createdAt": "2026-05-01T12:00:00Z",
            "aliases": aliases,
            "artifactCollection": sequence,
            "artifact": artifact,
        }
        return {"project": {"artifactCollectionMembership": membership}}

    def _FetchArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        file = {"directUrl": self._manifests[variables["id"]]}
        return {"artifact": {"currentManifest": {"file": file}}}

    def _GetArtifactMembershipFileUrls(  # noqa: N802
        self, variables: dict[str, Any]
    ) -> dict[str, Any]:
        found = self._newest(variables["collection"])
        assert found is not None
        edges = [
            {"node": {"__typename": "File", "name": name, "directUrl": url}}
            for name, url in self._files.get(found, {}).items()
        ]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        membership = {"files": {"pageInfo": page, "edges": edges}}
        collection = {"__typename": "ArtifactSequence", "artifactMembership": membership}
        return {"project": {"artifactCollection": collection}}

    def _CommitArtifact(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}

    def _put(self) -> str:
        """A URL of its own for each upload."""
        path = f"/put/{len(self.uploads)}"
        self.uploads[path] = b""
        return f"{self.url}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        stand_in = self.server.stand_in
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if stand_in.refuse is not None:
            self._send(stand_in.refuse, {"errors": [{"message": "no"}]})
        elif self.path == "/graphql":
            asked = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            operation = asked.get("operationName") or (found.group(1) if found else "")
            self._send(200, {"data": stand_in.answer(operation, asked.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            if stand_in.hanging.is_set():
                stand_in.released.wait(60.0)
                self._send(503, {})  # what came meanwhile is lost
                return
            self._send(200, stand_in.stream(json.loads(body)))
        else:
            self._send(404, {})

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.stand_in.lock:
            self.server.stand_in.uploads[self.path] = data
        self._send(200, {})

    def do_GET(self) -> None:
        with self.server.stand_in.lock:
            data = self.server.stand_in.uploads.get(self.path)
        if data is None:
            self._send(404, {})
        else:
            self._send_bytes(200, data, "application/octet-stream")

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._send_bytes(status, json.dumps(body).encode(), "application/json")

    def _send_bytes(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in = stand_in
        stand_in.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        pass  # clients are killed in the middle of a request


@contextmanager
def wandb_server() -> Iterator[StandIn]:
    """A stand-in that serves until the block ends."""
    stand_in = StandIn()
    with _Server(stand_in) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield stand_in
        finally:
            stand_in.released.set()
            server.shutdown()
            thread.join()
