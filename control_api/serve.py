"""The web server: gunicorn, with workers of many threads each.

A trainer's long-poll holds a thread for its whole wait, so threads are what limits live runs here.
"""

import os
import shutil
import signal
import socket
import threading
from pathlib import Path
from typing import Any, cast

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

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
_IDLE_CONNECTIONS = 4096
"""Of each worker: connections that are kept alive hold no thread."""


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
            "threads": self.settings.threads,
            "worker_connections": self.settings.threads + _IDLE_CONNECTIONS,
            "timeout": 60,
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": 75,
            "control_socket_disable": True,
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
        return create_app(self.settings, database, counts=RequestCounts(self.counts))

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


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which on its end lets go those who wait for something."""

    def init_signals(self) -> None:
        """End with the web server, and by its word alone."""
        super().init_signals()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        be_called("midcourse-web")
        end_with_parent(self.ppid)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: answer what is under way."""
        self._wind_up()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT: the same, in more of a hurry."""
        self._wind_up()
        super().handle_quit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Without the web server there is nobody to say SIGTERM."""
        alive: bool = super().is_parent_alive()
        if not alive:
            self._wind_up()
        return alive

    def _wind_up(self) -> None:
        """In a thread: a signal handler may have interrupted whoever holds the bell's lock."""
        app = cast("Flask | None", self.wsgi)
        if app is None:
            return  # told to end while it was starting
        context: Context = app.extensions[KEY]
        threading.Thread(target=context.database.bell.silence, name="wind-up").start()


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
    Server(settings, listener, counts).run()
    return 0
