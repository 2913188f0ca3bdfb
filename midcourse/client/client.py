"""The client of the control API, with the same verbs as the command line."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from midcourse.client.access import Access
from midcourse.client.branches import Branches
from midcourse.client.commands import Commands
from midcourse.client.credentials import find_credentials
from midcourse.client.runs import Runs
from midcourse.client.transport import Transport
from midcourse.contract.api.health import Health, Readiness


class Client(Runs, Commands, Branches, Access):
    """Speaks to a control API; its answers are the contract's models.

    ```python
    from midcourse import Client

    client = Client()
    run = client.submit({"optimizer": {"lr": 0.05}}, wait=60)
    client.set(run.id, {"optimizer.lr": 0.01}, wait=10, reason="loss is noisy")
    better = client.fork(run.id, checkpoint="best", changes={"optimizer.lr": 0.001})
    ```

    What makes something is sent with an `Idempotency-Key`, so that it can be sent again after
    trouble on the way, and makes one thing. Threads take a client each.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        retries: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Find the control API and a token for it; nothing is sent yet.

        Args:
            url: its root. Without it: `MIDCOURSE_API_URL`, else what `midcourse login` kept, else
                the one of this machine.
            token: without it: `MIDCOURSE_API_TOKEN`, the file `MIDCOURSE_API_TOKEN_FILE`, what
                `midcourse login` kept for the URL, or, on this machine, the token in the home.
            retries: how many times a request is sent again after trouble on the way.
            sleep: what to wait with.

        Raises:
            InvalidInput: a URL, token or file is malformed.
            NoToken: no token is known for the URL.
        """
        self._sleep = sleep
        self._wire = Transport(find_credentials(url, token), retries=retries, sleep=sleep)

    @property
    def url(self) -> str:
        """The control API's root."""
        return self._wire.url

    @property
    def token(self) -> str:
        """The token; for another client to the same place."""
        return self._wire.credentials.token

    @property
    def token_source(self) -> str:
        """Where the token was found, for people."""
        return self._wire.credentials.source

    def health(self) -> Health:
        """Whether the control API serves, and its version."""
        return self._wire.get(Health, "/healthz")

    def readiness(self) -> Readiness:
        """Whether it has all that it needs; otherwise `Troubled` says what is missing."""
        return self._wire.get(Readiness, "/readyz")

    def close(self) -> None:
        """Let go of the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
