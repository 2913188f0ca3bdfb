"""A small stand-in for the W&B server on loopback: enough for the SDK to upload one run.

It answers each GraphQL operation from a table, keeps every row that the file stream brings, and can
be told to refuse or to hang. It knows no accounts: any key will do, unless `refuse` is set.
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

    def _CreateArtifactManifest(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        file = {"id": "f", "uploadUrl": self._put(), "uploadHeaders": []}
        manifest = {"id": "m", "file": file}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _CreateArtifactFiles(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        given = variables.get("input", variables)["artifactFiles"]
        edges = [
            {
                "node": {
                    "id": "f",
                    "name": file["name"],
                    "storagePath": f"path/{file['name']}",
                    "uploadUrl": self._put(),
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "artifact": {"id": "a"},
                }
            }
            for file in given
        ]
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _CommitArtifact(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}

    def _put(self) -> str:
        return f"{self.url}/put"


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
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(200, {})

    def do_GET(self) -> None:
        self._send(404, {})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
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
