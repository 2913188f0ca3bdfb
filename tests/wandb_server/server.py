"""The stand-in: started, stopped and started again on one port, and looked into by tests.

with wandb_server() as server:
    ...  # WANDB_BASE_URL=server.url
    assert server.run("r1").rows == [...]
"""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from typing import Any

from graphql import DocumentNode
from wandb_server.artifacts import Artifact
from wandb_server.executor import Executor, Refused
from wandb_server.faults import Faults
from wandb_server.handler import Handler
from wandb_server.mutations import Mutation
from wandb_server.queries import Query
from wandb_server.runs import Run
from wandb_server.store import Store
from wandb_server.views import View

HOST = "127.0.0.1"


class HttpServer(ThreadingHTTPServer):
    """Accepts connections, and can cut all of them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stand_in: "WandbServer", host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.stand_in = stand_in
        self._open: set[socket.socket] = set()
        self._to_reset: set[socket.socket] = set()
        self._is_cut = False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        if self._is_cut:  # it was accepted in the last moment
            self.cut()
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def cut(self) -> None:
        """End every connection, in the middle of whatever it is at."""
        self._is_cut = True
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def reset(self, connection: socket.socket) -> None:
        """Let a connection end with a reset."""
        at_once = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._to_reset.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close in order; but a reset must be the first that the other side hears."""
        if request in self._to_reset:
            self._to_reset.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        pass  # clients are killed in the middle of a request


class WandbServer:
    """What the server keeps, how it is to behave, and what it received."""

    def __init__(self, host: str = HOST, port: int = 0) -> None:
        self.store = Store()
        self.faults = Faults()
        self.refused_keys: set[str] = set()
        """API keys that get 401."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        """GraphQL operations in order, with their variables."""
        self.errors: list[str] = []
        """Tracebacks of what went wrong in here; such requests get 500."""
        self._executor = Executor()
        self._host, self._port = host, port
        self._http: HttpServer | None = None
        self._thread: threading.Thread | None = None

    # -- being there, and not ---------------------------------------------------------------------

    def start(self) -> None:
        """Serve; again on the same port after a stop, with all that was kept."""
        assert self._http is None, "it is serving"
        self._http = HttpServer(self, self._host, self._port)
        self._port = self._http.server_address[1]
        self.store.url = self.url
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.02,), name="wandb-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Be gone: connections are cut, and new ones refused."""
        if self._http is None or self._thread is None:
            return
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._http.cut()
        self._http = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    # -- how it behaves ---------------------------------------------------------------------------

    @property
    def native_forks(self) -> bool:
        """Whether it knows `fork_from` and gives the child its parent's rows."""
        return self.store.native_forks

    @native_forks.setter
    def native_forks(self, known: bool) -> None:
        self.store.native_forks = known

    @property
    def refuses_forks(self) -> bool:
        """If it does not know them: whether it refuses (an error) or ignores the branch point."""
        return self.store.refuses_forks

    @refuses_forks.setter
    def refuses_forks(self, refused: bool) -> None:
        self.store.refuses_forks = refused

    def press_stop(self, run_id: str) -> None:
        """The Stop button of a run's page."""
        self.run(run_id).stop_wanted = True

    # -- what it received -------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """The run of this id, whatever its project.

        Raises:
            KeyError: there is none; it lists those that are.
        """
        with self.store.lock:
            for run in self.store.runs.values():
                if run.id == run_id:
                    return run
            known = ", ".join(run.id for run in self.store.runs.values()) or "none"
        raise KeyError(f"no run {run_id}; known: {known}")

    def rows(self, run_id: str) -> list[dict[str, Any]]:
        """A run's history; none while there is no such run, for those who wait."""
        with self.store.lock:
            return next((run.rows for run in self.runs if run.id == run_id), [])

    @property
    def runs(self) -> list[Run]:
        """All, in the order in which they came."""
        with self.store.lock:
            return list(self.store.runs.values())

    @property
    def artifacts(self) -> list[Artifact]:
        """All versions, pending and deleted ones too, in the order in which they came."""
        with self.store.lock:
            return list(self.store.artifacts.all.values())

    def artifact(self, name: str) -> Artifact:
        """The version that `collection:alias` means, whatever its project.

        Raises:
            KeyError: there is none.
        """
        with self.store.lock:
            for collection in self.store.artifacts.collections:
                if found := self.store.artifacts.find(collection.entity, collection.project, name):
                    return found[1]
            known = ", ".join(each.name for each in self.store.artifacts.all.values()) or "none"
        raise KeyError(f"no artifact {name}; known: {known}")

    @property
    def views(self) -> list[View]:
        """Reports and workspaces."""
        with self.store.lock:
            return list(self.store.views.all.values())

    @property
    def charts(self) -> list[dict[str, Any]]:
        """Custom charts, as they were given."""
        with self.store.lock:
            return list(self.store.charts)

    @property
    def uploads(self) -> dict[str, bytes]:
        """All bytes that were put, by path."""
        with self.store.lock:
            return self.store.blobs.with_data()

    @property
    def operations(self) -> list[str]:
        """Names of the GraphQL operations, in order."""
        return [name for name, _ in self.calls]

    def variables(self, operation: str) -> list[dict[str, Any]]:
        """What an operation was given, each time."""
        return [variables for name, variables in self.calls if name == operation]

    @property
    def unknown_fields(self) -> Counter[str]:
        """Fields that were asked for and that nothing here answers, as `Type.field`."""
        return self._executor.unknown_fields

    def execute(
        self, operation: str, kind: str, document: DocumentNode, variables: dict[str, Any]
    ) -> dict[str, Any]:
        """Answer a GraphQL request."""
        root = Mutation(self.store) if kind == "mutation" else Query(self.store)
        with self.store.lock:
            self.calls.append((operation, variables))
            try:
                return {"data": self._executor.execute(document, variables, root)}
            except Refused as error:
                return {"data": None, "errors": [{"message": str(error)}]}


@contextmanager
def wandb_server(**options: Any) -> Iterator[WandbServer]:
    """A stand-in that serves until the block ends."""
    server = WandbServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.faults.lift()
        server.stop()
