"""A small control API for tests of the link: it keeps logs, hands out commands, and misbehaves."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from midcourse.contract.commands import Command
from midcourse.contract.link import WRONG_OFFSET, Heartbeat

TOKEN = "t0ken"


class Api:
    """Stores logs by offset, hands out commands, and misbehaves when told to."""

    def __init__(self) -> None:
        self.logs: dict[str, bytearray] = {}
        self.beats: dict[str, list[Heartbeat]] = {}
        self.attempts: set[int] = set()
        self.commands: list[Command] = []
        self.requests: list[tuple[str, str]] = []
        self.trouble: Callable[[str], tuple[int, Any] | None] = lambda path: None
        """Given a path, an answer instead of the right one."""
        self.news = threading.Condition()
        self.closing = False
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def _answer(self, body: bytes) -> None:
                target = urlsplit(self.path)
                query = {key: values[-1] for key, values in parse_qs(target.query).items()}
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    code, answer = 401, {"type": "/problems/unauthorized"}
                else:
                    code, answer = api.answer(target.path, query, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                pass  # the trainer has gone away

        self.closing = False
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        assert self._server is not None
        with self.news:
            self.closing = True
            self.news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def send(self, *commands: Command) -> None:
        with self.news:
            self.commands += commands
            self.news.notify_all()

    def answer(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        _, _, _, _, run, _, what = path.split("/")
        with self.news:
            self.requests.append((run, what))
        found = self.trouble(path)
        if found is not None:
            return found
        return getattr(self, f"_{what}")(run, query, body)

    def _commands(self, run: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        def waiting() -> list[Command]:
            after = int(query["after"])
            return [each for each in self.commands if each.run == run and each.seq > after]

        with self.news:
            self.news.wait_for(lambda: self.closing or waiting(), float(query["wait"]))
            return 200, {"commands": [json.loads(each.to_json()) for each in waiting()]}

    def _report(self, run: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        beat, _, lines = body.partition(b"\n")
        with self.news:
            log = self.logs.setdefault(run, bytearray())
            if lines and int(query["offset"]) != len(log):
                return 409, {"type": WRONG_OFFSET, "next_offset": len(log)}
            if beat:
                self.beats.setdefault(run, []).append(Heartbeat.model_validate_json(beat))
            log += lines
            self.attempts.add(int(query["attempt"]))
            self.news.notify_all()
            return 200, {"next_offset": len(log)}

    def wait_until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        with self.news:
            assert self.news.wait_for(condition, seconds), "waited in vain"
