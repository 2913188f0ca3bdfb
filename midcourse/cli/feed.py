"""What happens to a run, in lines, gathered by a thread while something else is on the screen."""

import threading
import time
from types import TracebackType
from typing import Self

from midcourse.cli.happenings import happening
from midcourse.client import Client, ClientError
from midcourse.contract.errors import MidcourseError


class Feed:
    """Lines about one run after another; a stream that is away is taken up again."""

    def __init__(self, client: Client, run: str) -> None:
        self._url = client.url
        self._token = client.token
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._heard = 0.0
        self._run = run
        self._closed = False

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True

    def follow(self, run: str) -> None:
        """From now on listen to another run."""
        with self._news:
            self._lines.append(f"{run} goes on")
            self._run = run
        self._start()

    def take(self) -> list[str]:
        """The lines that have come since the last time."""
        with self._news:
            lines, self._lines = self._lines, []
        return lines

    def wait(self, seconds: float) -> None:
        """Until there are lines, or so long."""
        with self._news:
            self._news.wait_for(lambda: self._lines, seconds)

    def settle(self, quiet: float = 1.0, longest: float = 3.0) -> None:
        """Until nothing has come for a moment: the last words of a run that has ended."""
        deadline = time.monotonic() + longest
        while time.monotonic() < deadline:
            with self._news:
                count = len(self._lines)
                if not self._news.wait_for(lambda: len(self._lines) > count, quiet):  # noqa: B023
                    return

    def _start(self) -> None:
        threading.Thread(target=self._listen, args=(self._run,), daemon=True).start()

    def _listen(self, run: str) -> None:
        client = Client(self._url, self._token)
        try:
            for event in client.events(run):
                if self._closed or run != self._run:
                    return
                line = happening(client, event)
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        except (MidcourseError, ClientError) as error:
            with self._news:
                self._lines.append(f"no more events: {error}")
                self._news.notify_all()
        finally:
            client.close()
