"""The link to the control API: background threads that only ever dial out.

One thread reports where the run is and what it has logged, one long-polls for commands. The control
API may be down for hours: nothing here ever waits on the training thread, and nothing is lost,
because what is to be said stands in the run log and what is to be heard stands in the API's
database.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from midcourse.checkpoints.writer import sync
from midcourse.contract.base import strict_json_loads
from midcourse.contract.commands import Command
from midcourse.contract.link import (
    LOG_CHUNK_BYTES,
    LONG_POLL_SECONDS,
    LOST_PLACE,
    WRONG_OFFSET,
    CommandsAnswer,
    Heartbeat,
    ReportAnswer,
)
from midcourse.contract.paths import RunPaths
from midcourse.errors import PlaceLost
from midcourse.lease import Lease
from midcourse.runlog import whole_lines

HEARTBEAT_SECONDS = 1.25
"""After so long without news there is a report all the same. The recorder has news each second: a
little more than that lets one report do for both."""
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_LONGEST_PAUSE = 2.0
"""Between tries while the control API is away."""

logger = logging.getLogger(__name__)


@dataclass
class _Followed:
    """A run that the link speaks for, until the next one takes its place."""

    run: str
    log: Path
    last_seq: int
    offset: int | None = None
    """How much of its log the API has; None until it has said so."""


class Link:
    """Speaks for one run after another (a revert puts a child in its parent's place)."""

    def __init__(
        self,
        api_url: str,
        token: str,
        attempt: int,
        *,
        heartbeat: Callable[[], Heartbeat],
        on_command: Callable[[Command], None],
        on_lost: Callable[[], None],
        on_lease: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Prepare; `follow` begins.

        Args:
            api_url: the control API's root.
            token: the run's own token.
            attempt: which start of the run this is.
            heartbeat: says where the run is; called on the link's thread.
            on_command: takes a command, on the link's thread.
            on_lost: the run was given to another process.
            on_lease: the lease has run out (True), or runs again (False).
        """
        self._lease = Lease(on_lease)
        self._url = f"{api_url}/api/v1/runs"
        self._token = token
        self._attempt = attempt
        self._heartbeat = heartbeat
        self._on_command = on_command
        self._on_lost = on_lost
        self._runs: list[_Followed] = []
        self._news = threading.Event()
        self._closing = threading.Event()
        self._shipper: threading.Thread | None = None

    def follow(self, paths: RunPaths, last_seq: int, heard_out: Sequence[RunPaths] = ()) -> None:
        """Speak for a run from now on; for the one before, until its log is shipped.

        Args:
            paths: of the run.
            last_seq: the highest command number that it has dealt with.
            heard_out: runs that ended before this one, whose logs go first.
        """
        last = _Followed(paths.folder.name, paths.run_log, last_seq)
        # In one go: what is last in the list is the run that commands are for and that beats.
        self._runs += [*(_Followed(p.folder.name, p.run_log, 0) for p in heard_out), last]
        if self._shipper is None:
            self._shipper = self._thread("ship", self._ship_all)
        self.nudge()

    def nudge(self) -> None:
        """Something new is in the log: ship it now."""
        self._news.set()

    def finish(self, timeout: float) -> bool:
        """Ship what is left and end; False if the API would not take it all in time."""
        self._closing.set()
        self._lease.close()
        self.nudge()
        if self._shipper is None:
            return True
        self._shipper.join(timeout)
        return not self._shipper.is_alive()

    def _thread(self, name: str, target: Callable[..., None], *args: Any) -> threading.Thread:
        thread = threading.Thread(
            target=target, args=args, name=f"midcourse-link-{name}", daemon=True
        )
        thread.start()
        return thread

    # -- shipping ---------------------------------------------------------------------------

    def _ship_all(self) -> None:
        with self._session() as session:
            index = 0
            while index < len(self._runs):
                followed = self._runs[index]
                self._thread("poll", self._poll, followed)
                self._ship(session, followed)
                index += 1

    def _ship(self, session: requests.Session, followed: _Followed) -> None:
        """Report on one run until it has a successor, or the link is closing."""
        pause = 0.0
        while True:
            self._news.clear()
            over = self._closing.is_set() or self._runs[-1] is not followed
            try:
                again = self._report(session, followed, to_the_end=over)
                pause = 0.0
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                pause = min(_LONGEST_PAUSE, pause * 2 or 0.25)
                logger.debug("the control API is away (%s); trying again", error)
                self._closing.wait(pause) if not over else time.sleep(min(pause, 1.0))
                continue
            except PlaceLost:
                if self._runs[-1] is followed:
                    self._on_lost()
                return
            if again:
                continue
            if over:
                return
            self._news.wait(HEARTBEAT_SECONDS)

    def _report(self, session: requests.Session, followed: _Followed, *, to_the_end: bool) -> bool:
        """Say where the run is, with what its log has that the API has not.

        Returns:
            Whether there is more to say at once.
        """
        # The first report asks how much of the log is there.
        offset, lines = followed.offset or 0, b""
        beat = self._heartbeat().to_json() if self._runs[-1] is followed else ""
        if followed.offset is not None:
            lines = b"".join(whole_lines(followed.log, offset, LOG_CHUNK_BYTES))
        if lines:
            sync(followed.log)  # the API never knows more than a power cut would leave on this disk
        answer = self._call(
            session,
            "POST",
            f"{followed.run}/link/report",
            params={"offset": offset},
            data=beat.encode() + b"\n" + lines,
            headers={"Content-Type": "application/x-ndjson"},
        )
        asked = followed.offset is None
        told = ReportAnswer.model_validate(answer)
        followed.offset = told.next_offset
        if told.lease_seconds is not None:
            self._lease.lasts(told.lease_seconds)
        misplaced = followed.offset != offset + len(lines)
        much = len(lines) > LOG_CHUNK_BYTES // 2
        return asked or (bool(lines) and (misplaced or much or to_the_end))

    # -- commands ---------------------------------------------------------------------------

    def _poll(self, followed: _Followed) -> None:
        """Take commands for one run until it has a successor, or the link is closing."""
        pause = 0.0
        with self._session() as session:
            while self._runs[-1] is followed and not self._closing.is_set():
                try:
                    answer = self._call(
                        session,
                        "GET",
                        f"{followed.run}/link/commands",
                        params={"after": followed.last_seq, "wait": LONG_POLL_SECONDS},
                        timeout=LONG_POLL_SECONDS + _ANSWER_SECONDS,
                    )
                    commands = CommandsAnswer.model_validate(answer).commands
                    pause = 0.0
                except (OSError, ValueError) as error:
                    pause = min(_LONGEST_PAUSE, pause * 2 or 0.25)
                    logger.debug("no commands from the control API (%s); trying again", error)
                    self._closing.wait(pause)
                    continue
                except PlaceLost:
                    if self._runs[-1] is followed:
                        self._on_lost()
                    return
                for command in commands:
                    if self._runs[-1] is followed:
                        self._on_command(command)
                        followed.last_seq = max(followed.last_seq, command.seq)

    def _call(
        self,
        session: requests.Session,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        timeout: float = _ANSWER_SECONDS,
        **options: Any,
    ) -> Any:
        response = session.request(
            method,
            f"{self._url}/{path}",
            params={"attempt": self._attempt, **(params or {})},
            auth=self._authorize,
            timeout=(_CONNECT_SECONDS, timeout),
            **options,
        )
        body = strict_json_loads(response.content) if response.content else None
        if response.ok:
            self._lease.heard()
            return body
        if isinstance(body, dict) and body.get("type") == LOST_PLACE:
            raise PlaceLost(body.get("detail") or "this run was given to another process")
        if isinstance(body, dict) and body.get("type") == WRONG_OFFSET:
            return {"next_offset": body.get("next_offset")}
        response.raise_for_status()
        raise ValueError(f"unexpected answer {response.status_code}")

    def _session(self) -> requests.Session:
        session = requests.Session()
        host = urlsplit(self._url).hostname or ""
        if host in ("localhost", "::1") or host.startswith("127."):
            session.trust_env = False  # a proxy is for what is outside this machine
        return session

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """As a header alone it would give way to what a ~/.netrc says of the host."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
