"""A control API that says what a test tells it to say, for the client and the command line."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from midcourse.contract.api import examples

TOKEN = "mc_test"


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Said:
    """An answer. `cut` breaks the connection off instead of ending it."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


Answer = Said | Callable[[Asked], Said]


class FakeControl:
    """Answers by method and path; what was asked is kept in `asked`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _any(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                data = self.rfile.read(length)
                target = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    target.path,
                    dict(parse_qsl(target.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(data) if data else None,
                )
                said = fake._answer(asked)
                payload = said.data()
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload) + (1 if said.cut else 0)))
                self.end_headers()
                self.wfile.write(payload)
                if said.cut:
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # the client has gone away

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """What to answer there, one after another; the last one for good."""
        outside = path in ("/healthz", "/readyz")
        self._answers[method, path if outside else f"/api/v1{path}"] = list(answers)

    def _answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        waiting = self._answers.get((asked.method, asked.path))
        if waiting is None:
            return problem(404, "/problems/unknown-run", f"nothing at {asked.path}")
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return answer if isinstance(answer, Said) else answer(asked)


def serving() -> Iterator[FakeControl]:
    """For a fixture."""
    fake = FakeControl()
    yield fake
    fake.close()


def problem(status: int, kind: str, detail: str, **more: Any) -> Said:
    body = {"type": kind, "title": "A problem", "status": status, "detail": detail, **more}
    return Said(body, status, {"Content-Type": "application/problem+json"})


def run(run_id: str = "rbcdfghjk", **facts: Any) -> dict[str, Any]:
    """A run, as the API shows it."""
    return {
        **examples.RUN,
        "id": run_id,
        "experiment": "digits",
        "name": None,
        "status": "running",
        "priority": 0,
        "sweep": None,
        "slot": None,
        "tags": [],
        "notes": None,
        "archived_at": None,
        "config": {"optimizer": {"lr": 0.05}},
        "origin": None,
        "replay": None,
        "step": 41,
        "epoch": 1,
        "total_steps": 100,
        "steps_per_second": 35.0,
        "eta_seconds": 1.6,
        "metrics": {"train/batch_loss": 0.25, "test/accuracy": 0.75},
        "values": {"optimizer.lr": 0.05},
        "revision": 1,
        "attempt": 1,
        "error": None,
        "notice": None,
        "summary": {},
        "tracking": None,
        "checkpoints": 1,
        "created_by": "admin",
        "created_at": "2026-01-02T03:04:05Z",
        "started_at": None,
        "ended_at": None,
        "heartbeat_at": None,
        "links": {},
        **facts,
    }


def runs(*found: dict[str, Any], next_cursor: str | None = None) -> Said:
    return Said({"runs": list(found), "total": len(found), "next_cursor": next_cursor})


def command(state: str = "applied", run_id: str = "rbcdfghjk", **facts: Any) -> dict[str, Any]:
    """A command, as the API shows it; with its receipt where the state is final."""
    final = state not in ("accepted", "delivered")
    return {
        "run": run_id,
        "seq": 1,
        "action": {"kind": "pause"},
        "actor": "admin",
        "reason": None,
        "at": None,
        "dry_run": False,
        "state": state,
        "accepted_at": "2026-01-02T03:04:05Z",
        "delivered_at": None,
        "receipt": receipt(state, run_id) if final else None,
        "links": {},
        **facts,
    }


def receipt(state: str, run_id: str = "rbcdfghjk", **facts: Any) -> dict[str, Any]:
    return {
        "run": run_id,
        "seq": 1,
        "state": state,
        "step": 41,
        "before": {"status": "running"},
        "after": {"status": "paused"},
        "details": {},
        "reason": None,
        "faults": [],
        "at": "2026-01-02T03:04:06Z",
        **facts,
    }
