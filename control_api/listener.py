"""Whether whoever asked is still there: an answer that waits would else never know."""

import select
import socket
from collections.abc import Callable
from contextlib import suppress

from flask import request

_SOCKET = "gunicorn.socket"


def listener_gone() -> Callable[[], bool]:
    """A function that says whether the client of the present request has closed its end.

    False where the server does not tell.
    """
    connection = request.environ.get(_SOCKET)
    return lambda: isinstance(connection, socket.socket) and _is_closed(connection)


def _is_closed(connection: socket.socket) -> bool:
    poll = select.poll()
    with suppress(OSError, ValueError):  # ValueError: it was closed on our side
        poll.register(connection, select.POLLIN)
        # Nothing to read: it waits. Something: it asks for more. The end: it is gone.
        return bool(poll.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    return True
