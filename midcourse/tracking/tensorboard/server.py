"""TensorBoard itself, as a child of this process."""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from midcourse.contract.errors import MidcourseError

START_SECONDS: Final = 60.0
END_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.2
_SAMPLES: Final = "scalars=10000,images=100,text=200"
"""How much it keeps of each curve and row: by default 1,000 points drawn at random."""


class ServerFailed(MidcourseError):
    """TensorBoard did not start, or ended."""


class Server:
    """One TensorBoard. A context: it has ended when the context is left."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        """Start it.

        Args:
            folder: what it shows.
            host: the address to listen at.
            port: the port; 0 takes any that is free.

        Raises:
            ServerFailed: the port is taken, or the address is none of this machine.
        """
        self.host = host
        self.port = _free_port(host, port)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (this is a context itself)
        # In this process's group: Ctrl-C and the end of the terminal reach both.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "tensorboard.main"),
                *("--logdir", str(folder), "--host", host, "--port", str(self.port)),
                *("--reload_interval", "2", "--samples_per_plugin", _SAMPLES),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def wait_until_it_answers(self, ended: threading.Event, work: Callable[[], None]) -> None:
        """Wait for its first answer.

        Args:
            ended: set when there is no need to wait any more.
            work: done meanwhile, again and again.

        Raises:
            ServerFailed: it ended, or was silent for too long.
        """
        opener = build_opener(ProxyHandler({}))  # it is this machine: no proxy lies between
        deadline = time.monotonic() + START_SECONDS
        while not ended.is_set():
            self.check()
            with suppress(URLError, OSError), opener.open(self.url, timeout=2.0):
                return
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"TensorBoard did not answer within {START_SECONDS:g} seconds; {self._said()}"
                )
            work()
            ended.wait(_LOOK_SECONDS)

    def check(self) -> None:
        """Go on only if it lives.

        Raises:
            ServerFailed: it has ended.
        """
        if (code := self._process.poll()) is not None:
            raise ServerFailed(f"TensorBoard ended with code {code}; {self._said()}")

    def _said(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"it said: {lines[-1]}" if lines else "it said nothing"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _free_port(host: str, port: int) -> int:
    """The port, if nobody listens there. TensorBoard would say so in ten lines."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ServerFailed(
            f"TensorBoard cannot listen at {host}:{port} ({error.strerror}); --port takes another "
            "one, and --port 0 any that is free"
        ) from None
