"""The web server: gunicorn, with workers of greenlets.

A trainer's long-poll lasts for most of the time, so whoever waits must cost next to nothing: a
greenlet for each connection, and one thread for all that has to be computed.
"""

import os
import resource
import shutil
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import gevent
from flask import Flask
from gevent import GreenletExit
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from control_api import greenlets
from control_api.app import create_app
from control_api.bell import Bell
from control_api.context import KEY, Context
from control_api.database import Database
from control_api.event_tail import LOOK_SECONDS, EventTail
from control_api.offspring import be_called, end_with_parent
from control_api.request_counts import RequestCounts
from control_api.settings import Settings

GRACEFUL_SECONDS = 6
BACKLOG = 1024
CONNECTIONS = 8192
"""Of each worker; a live run has two."""
_NOTIFY_SECONDS, _LOOK_SECONDS = 1.0, 0.02
_SPEECHLESS_SECONDS = 2.0
"""At the end, how old a connection may be without a request, for one to be waited for."""


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn around the application, on a socket that is open already."""

    def __init__(self, settings: Settings, listener: socket.socket, counts: Path) -> None:
        self.settings = settings
        self.listener = listener
        self.counts = counts
        super().__init__()

    def load_config(self) -> None:
        """Say how to serve."""
        options = {
            "bind": f"fd://{self.listener.detach()}",
            "worker_class": f"{__name__}.Worker",
            "workers": self.settings.workers,
            "worker_connections": CONNECTIONS,
            "timeout": 60,
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": 75,
            "control_socket_disable": True,
            # Not whichever is installed: gunicorn_h1c takes headers that are folded over two lines.
            "http_parser": "python",
            # Nobody may say in a header what the path or the scheme is, local clients neither.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "logger_class": f"{__name__}.ServerLog",
            "loglevel": "warning",
            "proc_name": "midcourse-api",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application; runs in each worker."""
        database = Database(self.settings.database_url, Bell(LOOK_SECONDS))
        EventTail(database).start()
        app = create_app(self.settings, database, counts=RequestCounts(self.counts))
        greenlets.settle()
        return app

    def run(self) -> None:
        """Serve until SIGTERM, or until the supervisor is gone."""
        WebServer(self).run()


class WebServer(Arbiter):  # type: ignore[misc]
    """gunicorn's own supervisor of its workers, which ends with ours."""

    def __init__(self, app: Server) -> None:
        self._parent = os.getppid()
        super().__init__(app)

    def init_signals(self) -> None:
        """Ctrl-C and a closed terminal are the supervisor's, which says SIGTERM to us."""
        super().init_signals()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def murder_workers(self) -> None:
        """Called each second: also looks whether we are still wanted."""
        if os.getppid() != self._parent:
            raise StopIteration  # gunicorn's word for: end in order
        super().murder_workers()

    def stop(self, graceful: bool = True) -> None:
        """End the workers; what a supervisor that was killed could not clear away, we do."""
        super().stop(graceful)
        if os.getppid() != self._parent:
            shutil.rmtree(self.app.counts, ignore_errors=True)


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's worker of greenlets, which on its end lets go those who wait for something."""

    sockets: list[Any]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._under_way = 0
        self._speechless: dict[Any, float] = {}
        self._told_to_end = Event()

    def patch(self) -> None:
        """Make what waits give way to others; the worker's first act, before it has any thread."""
        greenlets.patch()
        self.sockets = [
            socket.socket(each.FAMILY, socket.SOCK_STREAM, fileno=each.sock.detach())
            for each in self.sockets
        ]

    def init_signals(self) -> None:
        """End with the web server, and by its word alone."""
        super().init_signals()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        be_called("midcourse-web")
        end_with_parent(self.ppid)

    def run(self) -> None:
        """Serve until told to end; then finish what was asked, but wait for no idle connection."""
        servers = [self._start(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            self._told_to_end.wait(_NOTIFY_SECONDS)
        for server in servers:
            server.close()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while self._is_awaited() and time.monotonic() < deadline:
            self.notify()
            time.sleep(_LOOK_SECONDS)
        for server in servers:
            server.stop(timeout=0)

    def _start(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        connections = Pool(self.worker_connections)
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=connections)
        server.max_accept = 1  # so that the workers get equal shares
        server.start()
        return server

    def _is_awaited(self) -> bool:
        """Whether someone has asked, or has just come in to ask and has not been heard yet."""
        since = time.monotonic() - _SPEECHLESS_SECONDS
        return self._under_way > 0 or any(came > since for came in self._speechless.values())

    def handle(self, listener: Any, client: Any, address: Any) -> None:
        """Serve one connection."""
        self._speechless[client] = time.monotonic()
        try:
            super().handle(listener, client, address)
        finally:
            self._speechless.pop(client, None)

    def handle_request(self, name: Any, request: Any, client: Any, address: Any) -> None:
        """Answer one request."""
        self._speechless.pop(client, None)
        self._under_way += 1
        try:
            super().handle_request(name, request, client, address)
        finally:
            self._under_way -= 1

    def handle_error(self, request: Any, client: Any, address: Any, error: BaseException) -> None:
        """Tell of an error; that an idle connection was let go at the end is none."""
        if not isinstance(error, GreenletExit):
            super().handle_error(request, client, address, error)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: answer what is under way."""
        super().handle_exit(sig, frame)
        self._wind_up()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT: the same."""
        self.handle_exit(sig, frame)

    def notify(self) -> None:
        """Show that we live, and look whether the web server does: nobody else says SIGTERM."""
        if self.ppid != os.getppid() and self.alive:
            self.handle_exit(signal.SIGTERM, None)
        self.tmp.notify()

    def _wind_up(self) -> None:
        app = cast("Flask | None", self.wsgi)
        if app is None:
            return  # told to end while it was starting
        context: Context = app.extensions[KEY]
        # Not here: a signal handler may have interrupted whoever holds the bell's lock.
        gevent.spawn(context.database.bell.silence)
        gevent.spawn(self._told_to_end.set)


class ServerLog(Logger):  # type: ignore[misc]
    """gunicorn's log as part of ours, in the same form."""

    def setup(self, cfg: Any) -> None:
        """Leave the handlers to `control_api.logs`."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True


def listen(settings: Settings) -> socket.socket:
    """Open the port.

    Raises:
        OSError: it is in use, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen(BACKLOG)
    return listener


def serve(settings: Settings, listener: socket.socket, counts: Path) -> int:
    """Serve until SIGTERM; trainers go on without.

    Args:
        settings: of the home and the database.
        listener: the open port.
        counts: a folder of this server's own, where its workers count requests together.
    """
    _allow_connections()
    Server(settings, listener, counts).run()
    return 0


def _allow_connections() -> None:
    """Raise the limit of open files, as far as we may: many systems begin with 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
