"""The server: gunicorn with one worker of many threads, and the reconciler beside them.

A trainer's long-poll holds a thread for its whole wait, so threads are what limits live runs here.
"""

import logging
import socket
import threading
from typing import Any, cast

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from control_api import logs
from control_api.app import create_app
from control_api.context import KEY, Context
from control_api.database import Database
from control_api.launchers.process import ProcessLauncher
from control_api.reconciler import Reconciler
from control_api.settings import Settings

THREADS = 64
GRACEFUL_SECONDS = 5
BACKLOG = 512

log = logging.getLogger(__name__)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn around the application, on a socket that is open already."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings = settings
        self.listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Say how to serve."""
        options = {
            "bind": f"fd://{self.listener.detach()}",
            "worker_class": f"{__name__}.Worker",
            "workers": 1,
            "threads": THREADS,
            "timeout": 60,
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": 75,
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "midcourse-api",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application and start the reconciler; runs in the worker."""
        database = Database(self.settings.database_url)
        app = create_app(self.settings, database)
        reconciler = Reconciler(self.settings, database, ProcessLauncher())
        app.extensions[RECONCILER_KEY] = reconciler
        reconciler.start()
        return app


RECONCILER_KEY = "midcourse-reconciler"


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which on its end lets go those who wait for something."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: answer what is under way."""
        self._wind_up()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGINT: the same, in more of a hurry."""
        self._wind_up()
        super().handle_quit(sig, frame)

    def _wind_up(self) -> None:
        """In a thread: a signal handler may have interrupted whoever holds the bell's lock."""
        app = cast(Flask, self.wsgi)
        context: Context = app.extensions[KEY]
        reconciler: Reconciler = app.extensions[RECONCILER_KEY]

        def wind_up() -> None:
            context.database.bell.silence()
            reconciler.stop()

        threading.Thread(target=wind_up, name="wind-up").start()


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


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; trainers go on without."""
    logs.set_up(settings.log_level)
    Server(settings, listener).run()
