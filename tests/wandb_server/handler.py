"""HTTP: which request goes where, who may ask, and the faults on the way."""

import base64
import gzip
import hashlib
import json
import re
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from wandb_server.executor import Refused, name_of, operation_of, parse_document
from wandb_server.faults import Fault
from wandb_server.pages import NotHere, page, press

if TYPE_CHECKING:
    from wandb_server.server import HttpServer, WandbServer

_FILE_STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
STORED_HEADERS = {
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",  # what a client uploaded runs no script here
}
_KEY = re.compile(r"[\w-]{40,}")


class Handler(BaseHTTPRequestHandler):
    """One connection; `server.stand_in` is what it speaks for."""

    protocol_version = "HTTP/1.1"
    server: "HttpServer"

    @property
    def stand_in(self) -> "WandbServer":
        return self.server.stand_in

    # -- requests ---------------------------------------------------------------------------------

    def do_POST(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        if path == "/graphql":
            self._graphql(body)
        elif found := _FILE_STREAM.fullmatch(path):
            self._guarded({"file_stream"}, lambda: self._file_stream(found.groups(), body))
        elif path.startswith("/sdk/"):
            self._send_json(404, {})  # telemetry, which goes nowhere
        else:
            self._press(path, body)

    def do_PUT(self) -> None:
        body = self._body()
        self._guarded({"put"}, lambda: self._put(body))

    def do_GET(self) -> None:
        if urlsplit(self.path).path.startswith("/storage/"):
            self._guarded({"get"}, self._get)
        else:
            self._page()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _graphql(self, body: bytes) -> None:
        try:
            asked = json.loads(body)
            document = parse_document(asked["query"])
        except (ValueError, KeyError, Refused) as error:
            self._send_json(400, {"errors": [{"message": f"not a GraphQL request: {error}"}]})
            return
        operation = asked.get("operationName") or name_of(document)
        variables = asked.get("variables") or {}
        kind = operation_of(document).operation.value

        def answer() -> "Answer":
            if not self._is_authorized():
                return Answer(401, {"errors": [{"message": "user is not logged in"}]})
            return Answer(200, self.stand_in.execute(operation, kind, document, variables))

        self._guarded({"graphql", operation}, answer)

    def _file_stream(self, path: tuple[str, ...], body: bytes) -> "Answer":
        if not self._is_authorized():
            return Answer(401, {"error": "user is not logged in"})
        with self.stand_in.store.lock:
            run = self.stand_in.store.runs.get((path[0], path[1], path[2]))
            if run is None:
                return Answer(404, {"error": "run not found"})
            return Answer(200, run.stream(json.loads(body)))

    def _put(self, body: bytes) -> "Answer":
        parts = urlsplit(self.path)
        store = self.stand_in.store
        with store.lock:
            blob = store.blobs.get(parts.path)
            if blob is None:
                return Answer(404, {})
            wanted = self.headers.get("Content-MD5")
            md5 = hashlib.md5(body)
            if wanted is not None and base64.b64decode(wanted) != md5.digest():
                return Answer(400, {"error": "the bytes are not those of Content-MD5"})
            number = parse_qs(parts.query).get("part")
            if number:
                blob.parts[int(number[0])] = body
            else:
                blob.put(body, self.headers.get("Content-Type"), store.clock())
        return Answer(200, {}, {"ETag": f'"{md5.hexdigest()}"'})

    def _get(self) -> "Answer":
        with self.stand_in.store.lock:
            blob = self.stand_in.store.blobs.get(urlsplit(self.path).path)
            data = blob.data if blob else None
        if blob is None or data is None:
            return Answer(404, {})
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None:
            return Answer(200, data, STORED_HEADERS, blob.content_type)
        begin, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if begin > end:
            return Answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        told = {**STORED_HEADERS, "Content-Range": f"bytes {begin}-{end}/{len(data)}"}
        return Answer(206, data[begin : end + 1], told, blob.content_type)

    # -- for people -------------------------------------------------------------------------------

    def _page(self) -> None:
        try:
            html = page(self.stand_in, urlsplit(self.path).path)
        except NotHere as error:
            self._send(Answer(404, str(error).encode(), {}, "text/plain; charset=utf-8"))
        else:
            self._send(Answer(200, html.encode(), PAGE_HEADERS, "text/html; charset=utf-8"))

    def _press(self, path: str, body: bytes) -> None:
        """A form of a page, from this machine and from our own pages only."""
        origin = self.headers.get("Origin")
        is_ours = origin in (None, self.stand_in.url) and self._is_loopback()
        if not is_ours:
            self._send_json(403, {"error": "forms are for this machine's own pages"})
            return
        try:
            back = press(self.stand_in, path, parse_qs(body.decode()))
        except NotHere as error:
            self._send_json(404, {"error": str(error)})
        else:
            self._send(Answer(303, b"", {"Location": back}))

    def _is_loopback(self) -> bool:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        return self.client_address[0].startswith("127.") and host in ("127.0.0.1", "localhost")

    # -- faults -----------------------------------------------------------------------------------

    def _guarded(self, routes: set[str], answer: Callable[[], "Answer"]) -> None:
        """Answer, or meet a fault."""
        fault = self.stand_in.faults.meet(routes)
        if fault is None:
            self._send(self._carry_out(answer))
            return
        if fault.carried_out:
            self._carry_out(answer)
        if fault.slow:
            fault.lifted.wait(fault.slow)
            self._send(self._carry_out(answer))
        elif fault.status is not None:
            self._send_json(fault.status, {"error": "a fault on demand"})
        else:
            self._break(fault)

    def _carry_out(self, answer: Callable[[], "Answer"]) -> "Answer":
        try:
            return answer()
        except Exception:
            said = traceback.format_exc()
            self.stand_in.errors.append(said)
            return Answer(500, {"errors": [{"message": said}]})

    def _break(self, fault: Fault) -> None:
        if fault.hang:
            fault.lifted.wait()
        else:
            self.server.reset(self.connection)
        self.close_connection = True

    # -- reading and writing ----------------------------------------------------------------------

    def _is_authorized(self) -> bool:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            key = value
        else:
            try:
                key = base64.b64decode(value).decode().partition(":")[2]
            except ValueError:
                return False
        secret = key.partition("-")[2] or key
        return key not in self.stand_in.refused_keys and _KEY.fullmatch(secret) is not None

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        encoded = self.headers.get("Content-Encoding") == "gzip" and self.command == "POST"
        return gzip.decompress(body) if encoded else body

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _send_json(self, status: int, body: dict[str, Any]) -> None:
        self._send(Answer(status, body))

    def _send(self, answer: "Answer") -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.data)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.data)

    def log_message(self, *_: object) -> None:
        pass


class Answer:
    """Status, body and headers of a response; a dict becomes JSON."""

    def __init__(
        self,
        status: int,
        body: bytes | dict[str, Any],
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        self.status = status
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = headers or {}
        self.kind = kind
