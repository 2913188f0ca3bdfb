"""The reconciler as a process: rounds until it is told to end, or its supervisor is gone."""

import os
import signal
from queue import Empty, SimpleQueue

from control_api.bell import Bell
from control_api.database import Database
from control_api.event_tail import LOOK_SECONDS, EventTail
from control_api.exits import Exits
from control_api.launchers.base import Launcher
from control_api.launchers.containers import DockerLauncher
from control_api.launchers.docker_engine import Engine
from control_api.launchers.process import ProcessLauncher
from control_api.reconciler import Reconciler
from control_api.settings import Settings

_LOOK_FOR_PARENT_SECONDS = 1.0


def reconcile(settings: Settings, holder: str | None = None) -> int:
    """Run rounds until SIGTERM; then finish the present one, and give the lease back.

    Args:
        settings: of the home and the database.
        holder: the name by which this process, started again, keeps its lease.
    """
    told_to_end: SimpleQueue[int] = SimpleQueue()  # an Event, set by a handler, can wait for itself
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.put(number))
    parent = os.getppid()
    database = Database(settings.database_url, Bell(LOOK_SECONDS))
    tail = EventTail(database)
    reconciler = Reconciler(settings, database, _launcher(settings), holder=holder)
    tail.start()
    reconciler.start()
    while os.getppid() == parent:
        try:
            told_to_end.get(timeout=_LOOK_FOR_PARENT_SECONDS)
            break
        except Empty:
            continue
    reconciler.stop()
    tail.stop()
    database.close()
    return 0


def _launcher(settings: Settings) -> Launcher:
    if settings.containers is not None:
        return DockerLauncher(settings.containers, Engine())
    return ProcessLauncher(Exits(settings.exits))
