"""The Docker engine, by its SDK, which is imported here and nowhere else.

Only what the launcher uses, with its errors told apart: an engine that does not answer is
`LauncherUnreachable`; one that refuses is `EngineRefused`, with its own words.
"""

import contextlib
import importlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import requests

from control_api.launchers.base import LauncherUnreachable

LOOK_SECONDS = 5.0
"""How long an answer may take."""
START_SECONDS = 60.0
"""How long to make a container may take, and to start it: the disk may be busy."""
_AWAY = (502, 503, 504)
"""What a proxy before the engine's socket says when that is gone."""


class SdkMissing(Exception):
    """The text says what to install."""


class EngineRefused(Exception):
    """The engine answered that it will not; the text is its own."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status
        """HTTP's."""


def require_sdk() -> Any:
    """The SDK's package.

    Raises:
        SdkMissing: it is not installed. A folder named `docker` on Python's path, as every checkout
            like ours has, is imported without a complaint in its place, and is empty.
    """
    try:
        found = importlib.import_module("docker")
    except ImportError:
        found = None
    if getattr(found, "APIClient", None) is None:
        raise SdkMissing(
            "MIDCOURSE_LAUNCHER=docker needs the Python package docker, which is not installed: "
            "pip install -r requirements.txt"
        )
    return found


class Engine:
    """The engine that `DOCKER_HOST` names, or this machine's. Connects when it is first asked."""

    def __init__(self) -> None:
        """Nothing is asked yet.

        Raises:
            SdkMissing: there is no SDK to ask by.
        """
        self._sdk = require_sdk()
        self._client: Any = None

    def containers(self, label: str) -> list[dict[str, Any]]:
        """All containers with a label, the ended too, as the engine lists them."""
        with self._answers(knows=True) as client:
            found: list[dict[str, Any]] = client.containers(all=True, filters={"label": label})
            return found

    def inspect(self, container: str) -> dict[str, Any] | None:
        """What it knows of a container, by id or name; None if there is none."""
        with self._answers(knows=True) as client, _unless_gone():
            found: dict[str, Any] = client.inspect_container(container)
            return found
        return None

    def has_image(self, image: str) -> bool:
        """Whether containers can be made of an image."""
        with self._answers(knows=True) as client, _unless_gone():
            return bool(client.inspect_image(image))
        return False

    def has_network(self, network: str) -> bool:
        """Whether containers can be on a network."""
        with self._answers(knows=True) as client, _unless_gone():
            return bool(client.inspect_network(network))
        return False

    def entrypoint(self, image: str) -> list[str]:
        """What an image starts before the command."""
        with self._answers() as client:
            return list(client.inspect_image(image)["Config"].get("Entrypoint") or [])

    def create(self, name: str, config: dict[str, Any]) -> str:
        """Make a container of a configuration in the engine's own form; its id."""
        with self._answers(seconds=START_SECONDS) as client:
            return str(client.create_container_from_config(config, name)["Id"])

    def start(self, container: str, words: bytes) -> None:
        """Start it, and give it something to read, which stands nowhere else."""
        with self._answers(seconds=START_SECONDS) as client:
            stream = client.attach_socket(container, params={"stdin": 1, "stream": 1})
            # What is between us and the socket itself only reads.
            plain: socket.socket = getattr(stream, "_sock", stream)
            try:
                client.start(container)
                plain.sendall(words)
            finally:
                # Who was told too little must hear that there is no more.
                with contextlib.suppress(OSError):
                    plain.shutdown(socket.SHUT_WR)
                stream.close()
                plain.close()

    def kill(self, container: str, signal_name: str) -> None:
        """Send its first process a signal; nothing happens where it has ended."""
        with self._answers() as client, _unless_gone():
            client.kill(container, signal_name)

    def remove(self, container: str) -> None:
        """Remove it with its own volumes, running or not."""
        with self._answers(seconds=START_SECONDS) as client, _unless_gone():
            client.remove_container(container, v=True, force=True)

    @contextlib.contextmanager
    def _answers(self, *, seconds: float = LOOK_SECONDS, knows: bool = False) -> Iterator[Any]:
        """The client, with its errors told apart.

        Args:
            seconds: how long an answer may take.
            knows: only something is asked: an engine that refuses that knows nothing, either.
        """
        errors = self._sdk.errors
        try:
            if self._client is None:
                self._client = self._connect()
            self._client.timeout = seconds
            yield self._client
        except errors.APIError as error:
            if knows or error.status_code in _AWAY:
                raise self._unreachable(error) from None
            raise EngineRefused(str(error.explanation or error), error.status_code) from None
        except (errors.DockerException, requests.RequestException, OSError) as error:
            raise self._unreachable(error) from None

    def _connect(self) -> Any:
        settings = self._sdk.utils.kwargs_from_env()
        client = self._sdk.APIClient(version="auto", timeout=LOOK_SECONDS, **settings)
        # To attach, the SDK would wait for ever.
        client.post = partial(client.post, timeout=START_SECONDS)
        return client

    @staticmethod
    def _unreachable(error: Exception) -> LauncherUnreachable:
        words = str(error)
        if "Permission denied" in words:
            words = "its socket may not be opened by this user, who needs the socket's group"
        elif "No such file" in words:
            words = "there is no socket; DOCKER_HOST says where it is"
        elif "Connection refused" in words:
            words = "nobody listens at its address"
        return LauncherUnreachable(f"the Docker engine does not answer: {words}")


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """For what needs no doing where there is no such container, or it has ended."""
    try:
        yield
    except Exception as error:
        if getattr(error, "status_code", None) not in (404, 409):
            raise
